"""The times that a run hands to FFmpeg."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from appliance.cli.ladder import parse_source
from appliance.media.encode.command import RunPlan
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.run import LONGEST_MS, EncodingRun
from appliance.media.encode.rungs import plan_rungs
from appliance.media.rtmp.reader import Arrival
from tests.unit.media.encode.messages import audio_header, frame, keyframe, sound, video_header

if TYPE_CHECKING:
    from datetime import datetime

    from appliance.media.encode.ffmpeg import OutputSink
    from appliance.media.encode.ladder import EncoderFamily
    from appliance.media.encode.thumbnails import Thumbnails
    from appliance.media.package.packager import Packager


class _Input:
    """Stands for FFmpeg and the packager: keeps the times of the tags that are written."""

    backlog = 0

    def __init__(self) -> None:
        self.times: list[int] = []
        self.reasons: list[str] = []
        self.started_at: datetime | None = None
        self.arrivals: list[tuple[float, float]] = []
        self.sink: OutputSink = self.feed

    def begin(self, _: object, *, started_at: datetime) -> None:
        self.started_at = started_at

    def arrived(self, seconds: float, now: float) -> None:
        self.arrivals.append((seconds, now))

    def feed(self, *_: object) -> None:
        pass

    def give_up(self, reason: str) -> None:
        self.reasons.append(reason)

    def write(self, data: bytes) -> None:
        if data[:1] in {b"\x08", b"\x09"}:
            self.times.append(int.from_bytes(data[4:7]) | data[7] << 24)


async def _begin(
    monkeypatch: pytest.MonkeyPatch, at_ms: int, *, family: EncoderFamily = "x264"
) -> tuple[EncodingRun, list[int]]:
    run, given = await _begin_with(monkeypatch, [Arrival(keyframe(at_ms), 0.0)], family=family)
    return run, given.times


async def _begin_with(
    monkeypatch: pytest.MonkeyPatch, replay: list[Arrival], *, family: EncoderFamily = "x264"
) -> tuple[EncodingRun, _Input]:
    given = _Input()

    async def start(_build: object, _renditions: object, sink: OutputSink, *, gpu: object) -> _Input:
        assert gpu is None
        given.sink = sink
        return given

    monkeypatch.setattr(FFmpeg, "start", start)
    video, audio = video_header(), audio_header()
    source = parse_source("1280x720@30")
    rungs = plan_rungs(load_ladder(ladder_path("default")), source) if family == "nvenc" else ()
    plan = RunPlan(source, rungs, EncoderChoice(family, "test"), 2.0, 0.25)
    headers = {int(video.type): video, int(audio.type): audio}
    run = await EncodingRun.begin(plan, headers, replay, cast("Packager", given), cast("Thumbnails", given))
    return run, given


async def test_a_run_is_dated_by_the_frame_that_was_the_shortest_on_its_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The first one comes late: its encoder had to connect."""
    replay = [Arrival(keyframe(500), 1000.09), Arrival(frame(533), 1000.04), Arrival(sound(533), 990.0)]
    _, given = await _begin_with(monkeypatch, replay)
    assert given.started_at is not None
    assert given.started_at.timestamp() == pytest.approx(1000.04 - 0.033 - 10, abs=1e-4)
    assert given.arrivals == [(10.0, 1000.09), (10.033, 1000.04)]


@pytest.mark.parametrize("begun_at", [0, 2**31 - 5000, 2**32 - 5000])
async def test_frames_go_on_after_25_days(monkeypatch: pytest.MonkeyPatch, begun_at: int) -> None:
    run, times = await _begin(monkeypatch, begun_at)
    assert times == [10_000] * 3
    del times[:]
    step = 2**26
    for number in range(1, 63):
        for kind in (frame, sound):
            run.feed(kind((begun_at + number * step) % 2**32))
    assert times == [10_000 + number * step for number in range(1, 63) for _ in range(2)]


async def test_a_run_is_worn_out_before_its_timestamps_end(monkeypatch: pytest.MonkeyPatch) -> None:
    run, times = await _begin(monkeypatch, 0)
    worn_out = []
    for at in (0, LONGEST_MS - 10_001, LONGEST_MS - 10_000):
        run.feed(frame(at))
        worn_out.append(run.worn_out)
    assert worn_out == [False, False, True]
    assert times[-1] < 2**31


async def test_ffmpeg_that_takes_frames_and_gives_nothing_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, _ = await _begin(monkeypatch, 0)
    given = cast("_Input", run.ffmpeg)
    now = run.begun_at
    for tick in range(40):  # the source pauses, so nothing can come
        run.watch(now + tick)
    assert given.reasons == []
    for tick in range(40, 46):
        run.feed(frame(1000 * tick))
        assert given.reasons == []
        run.watch(now + tick)
    run.feed(frame(60_000))
    run.watch(now + 46)
    assert given.reasons == ["hung: nothing came out for 6 s"]
    given.reasons.clear()
    for tick in range(47, 80):
        run.feed(frame(1000 * tick))
        given.sink("360p", b"")
        run.watch(now + tick)
    assert given.reasons == []


async def test_what_is_from_before_the_run_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run, times = await _begin(monkeypatch, 1000)
    del times[:]
    for message in (sound(990), sound(1010), frame(1033), frame(1033), sound(1031)):
        run.feed(message)
    assert times == [10_010, 10_033, 10_034, 10_031]


def _half_second(run: EncodingRun, number: int, *, rung: bool = False) -> None:
    """Fifteen pictures and their sound go in, the sound comes out; of the pictures, if `rung` says so."""
    given = cast("_Input", run.ffmpeg)
    for picture in range(15):
        at = 500 * number + 33 * picture
        run.feed(frame(at))
        run.feed(sound(at))
    given.sink("audio", b"")
    if rung:
        given.sink("480p", b"")
    run.watch(run.begun_at + number / 2)


async def test_a_gpu_that_stops_is_given_up_soon_whatever_sound_does(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = await _begin(monkeypatch, 0, family="nvenc")
    given = cast("_Input", run.ffmpeg)
    for number in range(1, 11):  # five seconds: CUDA may need some to begin
        _half_second(run, number)
    for number in range(11, 20):
        _half_second(run, number, rung=True)
    assert given.reasons == []
    for number in range(20, 22):
        _half_second(run, number)
        assert given.reasons == []
    _half_second(run, 22)
    assert given.reasons == ["hung: nothing came out for 2 s"]


async def test_a_gpu_that_gets_few_pictures_may_hold_them_back(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = await _begin(monkeypatch, 0, family="nvenc")
    given = cast("_Input", run.ffmpeg)
    _half_second(run, 1, rung=True)
    for number in range(2, 13):
        run.feed(frame(500 * number))
        run.watch(run.begun_at + number / 2)
    assert given.reasons == []


async def test_a_gpu_is_not_to_blame_for_pictures_that_do_not_come(monkeypatch: pytest.MonkeyPatch) -> None:
    run, _ = await _begin(monkeypatch, 0, family="nvenc")
    given = cast("_Input", run.ffmpeg)
    _half_second(run, 1, rung=True)
    for number in range(2, 60):
        run.feed(sound(500 * number))
        given.sink("audio", b"")
        run.watch(run.begun_at + number / 2)
    assert given.reasons == []
