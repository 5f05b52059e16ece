"""The packager as a whole, on fragments made by hand."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from appliance.media.package.mp4 import Mp4Error
from appliance.media.package.packager import Packager
from appliance.media.package.rendition import Rendition
from appliance.secrets.keyring import Generation, Keyring
from tests.unit.media.package.conftest import STARTED, Mp4, Workbench, options, pictures, sound

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

HIGH, LOW, AUDIO = Rendition("720p", "video"), Rendition("360p", "video"), Rendition("audio", "audio")


def run(
    packager: Packager,
    seconds: float,
    *,
    renditions: tuple[Rendition, ...] = (HIGH, LOW, AUDIO),
    at: float = 0,
    end: bool = True,
    seed: int = 0,
    tracks: Mapping[str, Mp4] | None = None,
) -> None:
    """`seconds` of media, begun `at` seconds after STARTED, with the pipes in pieces of any size."""
    packager.begin(renditions, started_at=STARTED + timedelta(seconds=at))
    made = {item.name: pictures() if item.kind == "video" else sound() for item in renditions}
    made |= tracks or {}
    data = {name: mp4.init() + mp4.seconds(seconds) for name, mp4 in made.items()}
    chance = random.Random(seed)
    at_byte = dict.fromkeys(data, 0)
    while rest := [name for name in data if at_byte[name] < len(data[name])]:
        # The one that is furthest behind, mostly: pipes of one FFmpeg go in step.
        name = min(rest, key=lambda item: at_byte[item] / len(data[item]) + chance.random() / 10)
        size = chance.randint(1, 3000)
        packager.feed(name, data[name][at_byte[name] : at_byte[name] + size])
        at_byte[name] += size
    if end:
        packager.end_run()


def shown(bench: Workbench) -> bool:
    return (bench.directory / "index.m3u8").exists()


def test_a_stream(bench: Workbench) -> None:
    packager = bench.packager()
    assert not shown(bench)
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


def test_keys_rotate_with_media_time_in_all_renditions(bench: Workbench) -> None:
    bench.options = options(rotation=6, window=20)
    packager = bench.packager()
    run(packager, 20)
    keys = {
        name: [item.key_uri for item in playlist.segments]
        for name, playlist in bench.check(packager.epoch).items()
    }
    assert keys["720p"] == keys["360p"] == keys["audio"]
    first = keys["720p"]
    assert [first.index(item) for item in first] == [0, 0, 0, 3, 3, 3, 6, 6, 6, 9]


def test_a_new_master_generation_is_taken_after_a_restart(bench: Workbench) -> None:
    run(bench.packager(), 4)
    old = bench.keyring.generations[1]
    bench.keyring = Keyring(2, {1: old, 2: Generation(b"n" * 32, old.created)})
    packager = bench.packager()
    run(packager, 4, at=10)
    listed = bench.check(packager.epoch)["720p"].segments
    assert [str(item.key_uri)[:13] for item in listed] == ["../../keys/1-"] * 2 + ["../../keys/2-"] * 2


def test_without_encryption(bench: Workbench) -> None:
    bench.options = options(encryption="none")
    packager = Packager(bench.root, "demo", bench.options, None)
    run(packager, 5)
    assert all("EXT-X-KEY" not in item.text for item in bench.check(packager.epoch).values())


def test_a_keyring_is_needed(bench: Workbench) -> None:
    with pytest.raises(ValueError, match="keyring"):
        Packager(bench.root, "demo", bench.options, None)


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
    assert not shown(bench)
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


def test_a_new_epoch_shares_no_name(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    packager.finish()
    first = packager.epoch
    packager.new_epoch()
    assert packager.epoch > first
    assert first in bench.multivariant(), "the old one is shown until the new has media"
    assert bench.check(first)
    run(packager, 4, at=110)
    assert first not in bench.multivariant()
    for playlist in bench.check(packager.epoch).values():
        assert playlist.sequence == 0
        assert not any(item.discontinuity for item in playlist.segments)
    run(packager, 10, at=120)
    assert not (bench.directory / first).exists()


def test_no_key_of_an_epoch_goes_into_the_next(bench: Workbench) -> None:
    packager = bench.packager()
    keys: list[set[str | None]] = []
    for number, start_over in enumerate((packager.new_epoch, packager.remove, packager.finish)):
        run(packager, 8, at=1000 * number)
        playlists = bench.check(packager.epoch).values()
        keys.append({item.key_uri for playlist in playlists for item in playlist.segments})
        start_over()
    assert [len(used) for used in keys] == [1, 1, 1]
    assert len(set.union(*keys)) == 3


def test_remove(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    first = packager.epoch
    packager.remove()
    assert not bench.directory.exists()
    run(packager, 4, at=60)
    assert packager.epoch > first
    assert packager.playable


def test_resume_goes_on(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 5, end=False)
    second = bench.packager()
    assert second.epoch == first.epoch
    assert second.next_msn == 2
    assert second.playable
    run(second, 4, at=10)
    for playlist in bench.check(second.epoch).values():
        assert [item.msn for item in playlist.segments] == [0, 1, 2, 3]
        assert [item.discontinuity for item in playlist.segments] == [False, False, True, False]
    assert len({item.key_uri for item in bench.check(second.epoch)["720p"].segments}) == 1


def test_resume_of_a_finished_stream(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 4)
    first.finish()
    second = bench.packager()
    assert all(item.ended for item in bench.check(second.epoch).values())
    second.begin([HIGH], started_at=STARTED)
    assert second.epoch > first.epoch


@pytest.mark.parametrize(
    "content", ["", "{", "[]", '{"version":1}', '{"version":2}', '{"version":1,"renditions":3}']
)
def test_a_broken_state_begins_a_new_epoch(bench: Workbench, content: str) -> None:
    first = bench.packager()
    run(first, 4)
    (bench.directory / "state.json").write_text(content)
    second = bench.packager()
    assert second.epoch > first.epoch
    run(second, 4, at=10)
    bench.check(second.epoch)


def test_another_segment_length_begins_a_new_epoch(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 4)
    bench.options = options(segment=4)
    assert bench.packager().epoch > first.epoch


def test_resume_sweeps_and_forgets(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 8)
    folder = bench.directory / first.epoch
    (folder / "720p" / ".tmp-9.m4s").write_bytes(b"half")
    (folder / "720p" / "9.m4s").write_bytes(b"unknown")
    (folder / "360p" / "1.m4s").unlink()
    (folder / "audio" / "3.m4s").write_bytes(b"short")
    second = bench.packager()
    playlists = bench.check(second.epoch)
    assert not list(folder.glob("**/.tmp*"))
    assert not (folder / "720p" / "9.m4s").exists()
    assert [item.gap for item in playlists["360p"].segments] == [False, True, False, False]
    assert [item.gap for item in playlists["audio"].segments] == [False, False, False, True]
    assert [item.gap for item in playlists["720p"].segments] == [False] * 4


def test_the_state_holds_no_key(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    text = (bench.directory / "state.json").read_text()
    kid = json.loads(text)["kid"]
    assert bench.keyring.derive(kid, "demo").hex() not in text
    assert (b"m" * 32).hex() not in text


STEPS = st.lists(
    st.tuples(
        st.sampled_from(["feed", "feed", "feed", "feed", "end", "begin", "restart"]),
        st.sampled_from(["720p", "360p", "audio"]),
        st.integers(1, 12),
        st.booleans(),
        st.integers(1, 3000),
    ),
    max_size=60,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
def test_any_sequence_keeps_every_rule(
    steps: list[tuple[str, str, int, bool, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    root = tmp_path_factory.mktemp("hls")
    bench = Workbench(root, Keyring.create(b"m" * 32), options(segment=1, window=4, rotation=3))
    packager = bench.packager()
    tracks: dict[str, Mp4] = {}
    at = 0.0
    names: dict[Path, bytes] = {}
    for action, name, samples, keyframe, payload in steps:
        if action == "restart":
            packager, tracks = bench.packager(), {}
        elif action == "end":
            packager.end_run()
            tracks = {}
        if action == "begin" or not tracks:
            at += 100
            packager.begin([HIGH, LOW, AUDIO], started_at=STARTED + timedelta(seconds=at))
            tracks = {"720p": pictures(), "360p": pictures(), "audio": sound()}
            for key, mp4 in tracks.items():
                packager.feed(key, mp4.init())
        track = tracks[name]
        packager.feed(name, track.fragment(samples, keyframe=keyframe and track.video, payload=payload))
        bench.check(packager.epoch)
        for path in (bench.directory / packager.epoch).glob("*/*.m[4p]*"):
            data = path.read_bytes()
            assert names.setdefault(path, data) == data, f"{path} has other bytes now"
    packager.finish()
    playlists = bench.check(packager.epoch)
    assert len({item.segments[-1].msn for item in playlists.values()}) <= 1
    assert all(item.ended for item in playlists.values())
