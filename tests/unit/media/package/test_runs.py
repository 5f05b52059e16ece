"""Runs: their segments, discontinuities and clocks."""

from __future__ import annotations

from datetime import timedelta
from itertools import pairwise

import pytest

from appliance.media.package.mp4 import Mp4Error
from appliance.media.package.rendition import Rendition
from tests.unit.media.package.handmade import AUDIO, HIGH, STARTED, pictures, run
from tests.unit.media.package.published import Workbench, options


def test_a_stream(bench: Workbench) -> None:
    packager = bench.packager()
    assert not bench.shown
    run(packager, 9)
    assert packager.playable
    playlists = bench.check(packager.epoch)
    assert set(playlists) == {"720p", "360p", "audio"}
    for playlist in playlists.values():
        assert [item.msn for item in playlist.segments] == [0, 1, 2, 3, 4]
        assert playlist.discontinuity_sequence == 0
        assert playlist.independent
        assert not playlist.ended
        assert not any(item.discontinuity or item.gap for item in playlist.segments)
    assert [item.duration for item in playlists["720p"].segments] == [2, 2, 2, 2, 1]
    assert playlists["720p"].segments[1].starts_at == STARTED + timedelta(seconds=2)
    assert 'AUDIO="audio"' in bench.multivariant()
    assert "RESOLUTION=640x360,FRAME-RATE=32.000" in bench.multivariant()
    packager.finish()
    assert all(playlist.ended for playlist in bench.check(packager.epoch).values())


def test_times_in_the_media_rise_over_runs(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    run(packager, 4, at=10)
    playlists = bench.check(packager.epoch)
    for name, scale in (("720p", 16000), ("audio", 48000)):
        times = []
        for segment in playlists[name].segments:
            data = bench.clear(packager.epoch, name, segment)
            at = data.index(b"tfdt") + 8
            times.append(int.from_bytes(data[at : at + 8], "big") / scale)
        assert times == sorted(times)
        # One second in front for sound's priming and pictures' reordering; then whole seconds of each run.
        assert times[0] == pytest.approx(1, abs=0.1)
        assert times[len(times) // 2] == pytest.approx(6, abs=0.1)


def test_a_second_run_is_a_discontinuity_everywhere(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    run(packager, 4, at=10)
    for playlist in bench.check(packager.epoch).values():
        assert [item.discontinuity for item in playlist.segments] == [False, False, True, False]


@pytest.mark.parametrize("part", [0, 0.26])
def test_dates_never_step_back(bench: Workbench, part: float) -> None:
    bench.options = options(window=20, part=part)
    packager = bench.packager()
    run(packager, 6)
    run(packager, 4, at=5.9)
    run(packager, 4, at=30)
    for playlist in bench.check(packager.epoch).values():
        times = [(item.starts_at, item.duration) for item in playlist.segments if item.starts_at]
        early = [
            (before - after).total_seconds() + seconds for (before, seconds), (after, _) in pairwise(times)
        ]
        # The dates are those of the pictures; sound cuts at its frame nearest to them.
        assert all(seconds < 0.03 for seconds in early), early
        assert times[-1][0] >= STARTED + timedelta(seconds=30), "a real pause is still there"


def test_a_run_without_media_is_no_discontinuity_of_its_own(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    packager.end_run()
    run(packager, 4, renditions=(HIGH, AUDIO))
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    run(packager, 4, renditions=(HIGH, AUDIO), at=20)
    for playlist in bench.check(packager.epoch).values():
        assert [item.discontinuity for item in playlist.segments] == [False, False, True, False]


def test_discontinuity_sequence_counts_what_left(bench: Workbench) -> None:
    packager = bench.packager()
    for number in range(6):
        run(packager, 4, at=10 * number)
    for playlist in bench.check(packager.epoch).values():
        # Twelve segments, six listed: the breaks before 2 and 4 have left, that before 6 stands at the top.
        assert playlist.sequence == 6
        assert playlist.segments[0].discontinuity
        assert playlist.discontinuity_sequence == 2


def test_old_segments_are_deleted(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 60)
    for name, playlist in bench.check(packager.epoch).items():
        files = {path.name for path in (bench.directory / packager.epoch / name).glob("*.m4s")}
        last = playlist.segments[-1].msn
        assert files == {f"{msn}.m4s" for msn in range(last - 12, last + 1)}


@pytest.mark.parametrize("seconds", [-3.0, 30.0])
def test_a_clock_that_jumps_ends_the_run_with_a_reason(bench: Workbench, seconds: float) -> None:
    packager = bench.packager()
    packager.begin([HIGH], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init() + video.seconds(5))
    with pytest.raises(Mp4Error, match=r"rendition 720p: time jumps from 5.000 s to"):
        packager.feed("720p", video.fragment(8, skip=int(seconds * 16000)))
    run(packager, 4, renditions=(HIGH,), at=30)
    assert len(bench.check(packager.epoch)["720p"].segments) == 5


def test_misuse_is_refused(bench: Workbench) -> None:
    packager = bench.packager()
    with pytest.raises(ValueError, match="no run is open"):
        packager.feed("720p", b"")
    with pytest.raises(ValueError, match="at least one rendition"):
        packager.begin([], started_at=STARTED)
    with pytest.raises(ValueError, match="each name once"):
        packager.begin([HIGH, HIGH], started_at=STARTED)
    with pytest.raises(ValueError, match="aware"):
        packager.begin([HIGH], started_at=STARTED.replace(tzinfo=None))
    with pytest.raises(ValueError, match="does not match"):
        Rendition("../720p", "video")
    run(packager, 4, renditions=(HIGH,))
    with pytest.raises(ValueError, match="was video before"):
        packager.begin([Rendition("720p", "audio")], started_at=STARTED)
    packager.begin([AUDIO], started_at=STARTED)
    with pytest.raises(Mp4Error, match="carries video, not audio"):
        packager.feed("audio", pictures().init())
