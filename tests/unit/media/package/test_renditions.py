"""Renditions: which there are, what is shown of them, and what stands in for what is missing."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.media.package.handmade import AUDIO, HIGH, LOW, STARTED, pictures, run, sound
from tests.unit.media.package.published import Workbench, options


def test_sound_alone(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9, renditions=(AUDIO,))
    assert [item.msn for item in bench.check(packager.epoch)["audio"].segments] == [0, 1, 2, 3, 4]
    assert 'CODECS="mp4a.40.2"\n' in bench.multivariant()
    assert "EXT-X-MEDIA" not in bench.multivariant()


def test_pictures_alone(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 9, renditions=(HIGH, LOW))
    assert set(bench.check(packager.epoch)) == {"720p", "360p"}
    assert "AUDIO" not in bench.multivariant()
    assert bench.multivariant().index("720p") < bench.multivariant().index("360p")


def test_nothing_is_shown_before_every_rendition_has_media(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init() + video.seconds(4.5))
    assert not bench.shown
    packager.feed("720p", video.seconds(2))
    assert packager.playable, "three segments are waited for, not more"
    assert "AUDIO" not in bench.multivariant()
    track = sound()
    packager.feed("audio", track.init() + track.seconds(3))
    assert 'AUDIO="audio"' in bench.multivariant()


def test_the_open_segment_is_dropped_where_one_has_none(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init() + video.seconds(5))
    packager.feed("audio", track.init() + track.seconds(4))
    packager.end_run()
    lengths = {name: len(item.segments) for name, item in bench.check(packager.epoch).items()}
    assert lengths == {"720p": 2, "audio": 2}


def test_a_rendition_that_lacks_a_published_segment_gets_a_gap(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init() + video.seconds(7))
    packager.feed("audio", track.init() + track.seconds(3))
    packager.end_run()
    run(packager, 4, renditions=(HIGH, AUDIO), at=20)
    playlists = bench.check(packager.epoch)
    assert [item.gap for item in playlists["audio"].segments] == [False, False, True, False, False]
    assert not any(item.gap for item in playlists["720p"].segments)
    assert [item.discontinuity for item in playlists["audio"].segments] == [False] * 3 + [True, False]


def test_a_rung_that_leaves_and_returns(bench: Workbench) -> None:
    bench.options = options(window=20)
    packager = bench.packager()
    run(packager, 4)
    run(packager, 6, renditions=(LOW, AUDIO), at=10)
    assert "720p" not in bench.multivariant()
    playlists = bench.check(packager.epoch)
    assert [item.gap for item in playlists["720p"].segments] == [False] * 2 + [True] * 3
    run(packager, 4, at=20)
    assert "720p" in bench.multivariant()
    assert [item.gap for item in bench.check(packager.epoch)["720p"].segments] == [False] * 2 + [True] * 3 + [
        False
    ] * 2


def test_a_rung_that_comes_later_begins_at_the_common_number(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4, renditions=(LOW, AUDIO))
    run(packager, 4, at=10)
    run(packager, 4, at=20)
    playlists = bench.check(packager.epoch)
    assert playlists["720p"].sequence == 2
    assert playlists["720p"].segments[0].discontinuity
    assert [item.discontinuity_sequence for item in playlists.values()] == [0, 0, 0]


def test_other_codec_parameters_bring_another_init(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    run(packager, 4, at=10)
    run(packager, 4, at=20, tracks={"720p": replace(pictures(), width=1280, height=720, marker=b"sps")})
    playlists = bench.check(packager.epoch)
    assert [item.map_uri for item in playlists["720p"].segments] == ["init-0.mp4"] * 4 + ["init-1.mp4"] * 2
    assert [item.map_uri for item in playlists["360p"].segments] == ["init-0.mp4"] * 6
    assert "RESOLUTION=1280x720" in bench.multivariant()


def test_bandwidth_only_rises_and_is_a_peak(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init())
    seen = []
    for payload in (1000, 9000, 500, 500, 500):
        for number in range(8):
            packager.feed("720p", video.fragment(8, keyframe=number == 0, payload=payload))
        if packager.playable:
            seen.append(int(bench.multivariant().split("BANDWIDTH=")[1].split(",")[0]))
    assert seen == sorted(seen)
    assert 8 * 9000 * 8 / 2 <= seen[-1] <= 8 * 9400 * 8 / 2
    average = int(bench.multivariant().split("AVERAGE-BANDWIDTH=")[1].split(",")[0])
    assert average < seen[-1] / 2
