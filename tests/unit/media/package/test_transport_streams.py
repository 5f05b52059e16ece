"""A stream as Transport Streams: sound and pictures in one, by the same rules as every stream."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.media.package.mp4 import Mp4Error
from appliance.media.package.options import PackagingOptions
from tests.support.transport_stream import ADTS, AVC, Program, Reader, nal_types
from tests.unit.media.package.handmade import AUDIO, HIGH, LOW, STARTED, Mp4, pictures, run, sound
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from appliance.media.package.packager import Packager
    from appliance.settings import Container


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    bench.options = options(container="mpegts")
    return bench


def programs(bench: Workbench, epoch: str, name: str) -> list[Program]:
    """What the segments of a rendition hold, read as one player does."""
    reader = Reader()
    segments = [item for item in bench.check(epoch)[name].segments if not item.gap]
    return [reader.read(bench.clear(epoch, name, item)) for item in segments]


def heard(found: list[Program]) -> list[tuple[int, bytes]]:
    return [(unit.presented, unit.data) for program in found for unit in program.of(ADTS)]


def ends(program: Program, kind: int) -> tuple[float, float]:
    """When the first and the last unit of one kind are presented, seconds."""
    times = [unit.presented / 90_000 for unit in program.of(kind)]
    return min(times), max(times)


def begin(packager: Packager, *, at: float = 0) -> tuple[Mp4, Mp4]:
    """A run of one rung and the sound, of which only the init sections have come."""
    packager.begin([HIGH, AUDIO], started_at=STARTED + timedelta(seconds=at))
    video, track = pictures(), sound()
    packager.feed("720p", video.init())
    packager.feed("audio", track.init())
    return video, track


def test_a_stream(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9)
    playlists = bench.check(packager.epoch)
    assert set(playlists) == {"720p", "360p"}
    for playlist in playlists.values():
        assert [item.duration for item in playlist.segments] == [2, 2, 2, 2, 1]
        assert playlist.text.startswith("#EXTM3U\n#EXT-X-VERSION:3\n")
        assert "EXT-X-MAP" not in playlist.text
        assert playlist.independent
        assert playlist.segments[1].starts_at == STARTED + timedelta(seconds=2)
    text = bench.multivariant()
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:3\n")
    assert "EXT-X-MEDIA" not in text
    assert 'CODECS="avc1.64001e,mp4a.40.2",RESOLUTION=640x360,FRAME-RATE=32.000\n' in text
    packager.finish()
    assert all(item.ended for item in bench.check(packager.epoch).values())


def test_each_segment_begins_anew_and_all_rungs_at_the_same_time(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9)
    high, low = (programs(bench, packager.epoch, name) for name in ("720p", "360p"))
    assert heard(high) == heard(low) != []
    for upper, lower in zip(high, low, strict=True):
        first = upper.units[0]
        assert (first.stream_type, first.random_access) == (AVC, True)
        assert nal_types(first.data)[:2] == [9, 5]
        assert first.presented == lower.units[0].presented
        # Handmade sound comes in fragments of a quarter of a second, and is cut between them.
        assert abs(ends(upper, ADTS)[0] - ends(upper, AVC)[0]) < 0.13
    assert [len(item.of(AVC)) for item in high] == [64] * 4 + [32]


def test_the_bandwidth_counts_the_sound(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9, renditions=(HIGH,))
    alone = int(bench.multivariant().split(":BANDWIDTH=")[1].split(",")[0])
    packager.new_epoch()
    run(packager, 9, renditions=(HIGH, AUDIO))
    assert int(bench.multivariant().split(":BANDWIDTH=")[1].split(",")[0]) > 1.1 * alone


@pytest.mark.parametrize("seed", [1, 2])
def test_it_does_not_matter_where_the_pipes_are_cut(bench: Workbench, seed: int) -> None:
    bench.options = replace(bench.options, encryption="none")
    packager = bench.packager()
    run(packager, 5)
    packager.new_epoch()
    folders = sorted(path for path in bench.directory.iterdir() if path.is_dir())
    first = {path.relative_to(folders[0]): path.read_bytes() for path in folders[0].glob("*/*.ts")}
    run(packager, 5, seed=seed)
    again = bench.directory / packager.epoch
    assert first == {path.relative_to(again): path.read_bytes() for path in again.glob("*/*.ts")}
    assert len(first) == 6


def test_pictures_wait_for_their_sound(bench: Workbench) -> None:
    packager = bench.packager()
    video, track = begin(packager)
    packager.feed("720p", video.seconds(4.5))
    assert not bench.playlists(packager.epoch)
    packager.feed("audio", track.seconds(4.5))
    found = programs(bench, packager.epoch, "720p")
    assert [ends(item, ADTS)[1] > 1.7 for item in found] == [True, True]


def test_pictures_do_not_wait_for_ever(bench: Workbench) -> None:
    packager = bench.packager()
    video, track = begin(packager)
    for _ in range(34):
        packager.feed("720p", video.seconds(0.25))
        if video.time <= 2.5 * video.timescale:
            packager.feed("audio", track.fragment(12))
    assert [len(item.of(ADTS)) > 0 for item in programs(bench, packager.epoch, "720p")] == [True, False]
    # What comes later has its place, or none any more.
    packager.feed("audio", track.seconds(6))
    found = programs(bench, packager.epoch, "720p")
    assert [len(item.of(ADTS)) > 0 for item in found] == [True, False, True, True]
    assert all(ADTS in item.streams.values() for item in found), "the program stays what it is"
    assert ends(found[2], ADTS)[0] == pytest.approx(ends(found[2], AVC)[0], abs=0.13)


def test_a_burst_of_pictures_waits_for_its_sound_in_the_other_pipe(bench: Workbench) -> None:
    packager = bench.packager()
    video, track = begin(packager)
    packager.feed("720p", video.seconds(12.5))
    packager.feed("audio", track.seconds(12.5))
    assert all(item.of(ADTS) for item in programs(bench, packager.epoch, "720p"))


def test_the_run_s_end_publishes_what_waits(bench: Workbench) -> None:
    packager = bench.packager()
    video, track = begin(packager)
    packager.feed("720p", video.seconds(7))
    packager.feed("audio", track.seconds(3))
    packager.end_run()
    found = programs(bench, packager.epoch, "720p")
    assert [len(item.of(ADTS)) > 0 for item in found] == [True, True, False]


def test_a_rung_that_gives_nothing_does_not_keep_the_others(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, LOW, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init())
    packager.feed("audio", track.init())
    for _ in range(150):
        packager.feed("720p", video.seconds(2))
        packager.feed("audio", track.seconds(2))
    assert packager.playable
    assert bench.check(packager.epoch)["720p"].segments[-1].msn > 140


def test_times_rise_over_runs_and_counters_begin_anew(bench: Workbench) -> None:
    packager = bench.packager()
    for number in range(3):
        run(packager, 4, at=10 * number)
    assert [item.discontinuity for item in bench.check(packager.epoch)["720p"].segments] == [
        False, False, True, False, True, False,
    ]  # fmt: skip
    found = programs(bench, packager.epoch, "720p")
    starts = [ends(item, AVC)[0] for item in found]
    assert starts == sorted(starts)
    assert starts == pytest.approx([1, 3, 6, 8, 11, 13], abs=0.2)


def test_sound_alone_and_pictures_alone(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9, renditions=(AUDIO,))
    assert [list(item.streams.values()) for item in programs(bench, packager.epoch, "audio")] == [[ADTS]] * 5
    assert 'CODECS="mp4a.40.2"\n' in bench.multivariant()
    packager.new_epoch()
    run(packager, 9, renditions=(HIGH, LOW))
    assert [list(item.streams.values()) for item in programs(bench, packager.epoch, "720p")] == [[AVC]] * 5
    assert 'CODECS="avc1.64001e",' in bench.multivariant()


def test_sound_alone_becomes_pictures_with_sound(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4, renditions=(AUDIO,))
    run(packager, 4, at=10)
    playlists = bench.check(packager.epoch)
    assert [item.gap for item in playlists["audio"].segments] == [False, False, True, True]
    assert [item.msn for item in playlists["720p"].segments] == [2, 3]
    assert playlists["audio"].text.startswith("#EXTM3U\n#EXT-X-VERSION:8\n")
    assert "audio" not in bench.multivariant()


def test_the_next_process_goes_on(bench: Workbench) -> None:
    run(bench.packager(), 5)
    packager = bench.packager()
    folder = bench.directory / packager.epoch
    (folder / "720p" / "9.ts").write_bytes(b"unknown")
    (folder / "360p" / "1.ts").unlink()
    packager = bench.packager()
    assert not (folder / "720p" / "9.ts").exists()
    run(packager, 3, at=10)
    playlists = bench.check(packager.epoch)
    assert [item.gap for item in playlists["720p"].segments] == [False] * 5
    assert [item.gap for item in playlists["360p"].segments] == [False, True, False, False, False]
    assert [item.discontinuity for item in playlists["720p"].segments] == [False] * 3 + [True, False]


@pytest.mark.parametrize(("before", "after"), [("fmp4", "mpegts"), ("mpegts", "fmp4")])
def test_another_container_begins_another_epoch(
    bench: Workbench, before: Container, after: Container
) -> None:
    epochs = []
    for container in (before, after):
        bench.options = options(container=container)
        packager = bench.packager()
        run(packager, 5)
        bench.check(packager.epoch)
        epochs.append(packager.epoch)
    assert epochs[0] < epochs[1]
    assert f"/{epochs[1]}/" in bench.multivariant()


def test_old_segments_are_deleted(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 60)
    for name, playlist in bench.check(packager.epoch).items():
        last = playlist.segments[-1].msn
        files = {path.name for path in (bench.directory / packager.epoch / name).iterdir()}
        assert files == {f"{msn}.ts" for msn in range(last - 12, last + 1)} | {"index.m3u8"}


def test_what_no_transport_stream_carries_ends_the_run_with_a_reason(bench: Workbench) -> None:
    packager = bench.packager()
    _, track = begin(packager)
    with pytest.raises(Mp4Error, match="rendition audio: a frame of AAC of 9000 bytes"):
        packager.feed("audio", track.fragment(1, payload=9000))


def test_parts_of_transport_streams_are_refused() -> None:
    with pytest.raises(ValueError, match="mpegts has no parts"):
        PackagingOptions(2.0, 6, 300.0, "aes-128", 0.26, "mpegts")
