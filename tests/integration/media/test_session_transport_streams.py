"""A stream's life as Transport Streams: real nginx, real FFmpeg, encryption on."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.media.conftest import end
from tests.support.transport_stream import ADTS, AVC, Program, Reader, nal_types

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode
    from tests.integration.media.stage import Stage

MOST_SKEW_MS = 40


def programs(stage: Stage, rung: str, run: int = -1) -> list[Program]:
    reader = Reader()
    return [reader.read(data) for data in stage.published.segments(rung, run)]


@pytest.mark.parametrize("copy_source", ["auto", "never"])
async def test_rungs_are_one_stream(stage: Stage, clip: Encode, copy_source: str) -> None:
    path = await clip(size="854x480", seconds=20, bframes=2)
    # Measuring takes longer than the clip plays.
    async with stage.session(container="mpegts", copy_source=copy_source, grace_seconds=60.0):
        await stage.publish(path)
        await stage.until_run(0, segments=4, names=("360p", "480p"))
        assert stage.published.renditions == ["480p", "360p"]
        assert [rung["copied"] for rung in stage.status["rungs"]] == [copy_source == "auto", False]
        assert stage.published.times("480p")[:4] == stage.published.times("360p")[:4]
        for high, low in zip(programs(stage, "480p")[:4], programs(stage, "360p")[:4], strict=True):
            assert high.units[0].presented == low.units[0].presented
            assert [unit.data for unit in high.of(ADTS)] == [unit.data for unit in low.of(ADTS)] != []
            for program in (high, low):
                assert (program.units[0].stream_type, program.units[0].random_access) == (AVC, True)
                assert {9, 7, 8, 5} <= set(nal_types(program.units[0].data))
        runs = [stage.published.runs(name)[0] for name in ("480p", "360p")]
        ivs = [iv for run in runs for _, _, iv in run.segments]
        assert len(set(ivs)) == len(ivs) >= 8
        assert all(path.suffix == ".ts" for run in runs for path, _, _ in run.segments)
        for rung in ("480p", "360p"):
            assert await stage.skew(rung=rung) < MOST_SKEW_MS
        playlist = stage.published.playlist("360p")
        assert "#EXT-X-VERSION:3\n" in playlist
        assert "EXT-X-PART" not in playlist
        assert "EXT-X-MAP" not in playlist


async def test_who_returns_and_an_ffmpeg_that_is_killed(stage: Stage, clip: Encode) -> None:
    names = ("360p",)
    before, after = await clip(seconds=30, bframes=2), await clip(size="854x480", fps="25", seconds=30)
    async with stage.session(container="mpegts"):
        publisher = await stage.publish(before, loop=True)
        await stage.until_run(0, names=names)
        await end(publisher)
        await stage.until(lambda: stage.status.get("state") == "waiting")
        await stage.publish(after, loop=True)
        await stage.until_run(1, names=names)
        os.kill(stage.status["ffmpeg_pid"], signal.SIGKILL)
        await stage.until_run(2, names=names)
        for run in range(3):
            assert await stage.skew(run) < MOST_SKEW_MS
        starts = [programs(stage, "360p", run)[0].units[0].presented for run in range(3)]
        assert starts == sorted(starts)
        assert "#EXT-X-MEDIA-SEQUENCE:0" in stage.published.playlist("360p")


@pytest.mark.parametrize(("kind", "rendition"), [("video", "360p"), ("audio", "audio")])
async def test_a_source_with_one_track(stage: Stage, clip: Encode, kind: str, rendition: str) -> None:
    path = await clip(seconds=12, video=kind == "video", audio=kind == "audio")
    async with stage.session(container="mpegts"):
        await stage.publish(path)
        took = await stage.until(lambda: stage.published.count(rendition) >= 1)
        assert took < 5
        await stage.until(lambda: stage.published.count(rendition) >= 3)
        assert stage.published.renditions == [rendition]
        wanted = AVC if kind == "video" else ADTS
        assert {tuple(item.streams.values()) for item in programs(stage, rendition)} == {(wanted,)}


async def test_the_next_process_goes_on_and_the_last_ends_it(stage: Stage, clip: Encode) -> None:
    options: dict[str, Any] = {"container": "mpegts", "grace_seconds": 1.0}
    publisher = await stage.publish(await clip(seconds=30), loop=True)
    async with stage.session(**options):
        await stage.until(lambda: stage.published.count("360p") >= 2)
    epochs = stage.published.epochs
    async with stage.session(**options):
        await stage.until_run(1, names=("360p",))
        assert stage.published.epochs == epochs
        await end(publisher)
        await stage.until(lambda: "#EXT-X-ENDLIST" in stage.published.playlist("360p"))
        assert await stage.skew() < MOST_SKEW_MS
