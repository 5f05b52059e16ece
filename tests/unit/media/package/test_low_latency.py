"""A packager that publishes parts: what is listed when, and for how long."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from appliance.media.package.catalogue import STATE_FILE
from appliance.media.package.edge import LiveEdge
from appliance.media.package.packager import Packager
from appliance.media.storage import Storage, StorageError
from tests.unit.media.package.handmade import AUDIO, HIGH, LOW, STARTED, pictures, run, sound
from tests.unit.media.package.published import Workbench, decrypt, options

PART = 0.26


@pytest.fixture
def bench(bench: Workbench) -> Workbench:
    bench.options = options(part=PART, window=10)
    return bench


def files(bench: Workbench, epoch: str, name: str = "720p") -> set[str]:
    return {path.name for path in (bench.directory / epoch / name).glob("*.m4s")}


def test_a_part_is_listed_as_soon_as_it_is_whole(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init() + video.seconds(0.25))
    playlist = bench.check(packager.epoch)["720p"]
    assert [(item.uri, item.gap) for item in playlist.segments] == [("0.m4s", True)]
    assert playlist.open is not None
    assert [part.uri for part in playlist.open.parts] == ["1.0.m4s"]
    assert playlist.hint == "1.1.m4s"
    packager.feed("720p", video.seconds(1.75))
    playlist = bench.check(packager.epoch)["720p"]
    assert playlist.open is not None
    assert len(playlist.open.parts) == 8
    assert playlist.hint == "2.0.m4s", "the segment has its length"
    packager.feed("720p", video.seconds(0.25))
    playlist = bench.check(packager.epoch)["720p"]
    assert [(item.uri, len(item.parts)) for item in playlist.segments] == [("0.m4s", 8), ("1.m4s", 8)]
    assert playlist.open is not None
    assert [part.independent for part in playlist.open.parts] == [True]


def test_parts_and_segment_are_the_same_media_under_one_key(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 5)
    for name, playlist in bench.check(packager.epoch).items():
        for segment in playlist.segments[-2:]:
            assert segment.iv is not None
            key = bench.keyring.derive(str(segment.key_uri).removeprefix("../../keys/"), "demo")
            folder = bench.directory / packager.epoch / name
            parts = [decrypt((folder / part.uri).read_bytes(), key, segment.iv) for part in segment.parts]
            assert b"".join(parts) == bench.clear(packager.epoch, name, segment)


def test_parts_leave_the_playlist_after_two_segments_and_the_disk_later(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 40)
    playlist = bench.check(packager.epoch)["720p"]
    assert [bool(item.parts) for item in playlist.segments] == [False] * 8 + [True] * 2
    last = playlist.segments[-1].msn
    there = {int(name.split(".")[0]) for name in files(bench, packager.epoch) if name.count(".") == 2}
    assert there == set(range(last - 6, last + 1))


def test_the_stream_is_shown_with_the_parts_that_players_hold_back(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init() + video.seconds(1))
    packager.feed("audio", track.init() + track.seconds(0.8))
    assert not bench.shown, "of the sound there is less"
    packager.feed("audio", track.seconds(0.3))
    shown = bench.multivariant()
    assert "FRAME-RATE=32.000" in shown
    assert re.findall(r",AVERAGE-BANDWIDTH=(\d+)", shown) == re.findall(r":BANDWIDTH=(\d+)", shown)
    assert "BANDWIDTH=0" not in shown
    for playlist in bench.check(packager.epoch).values():
        assert playlist.open is not None
        assert [(item.gap, item.duration) for item in playlist.segments] == [(True, 2.0)]
        assert playlist.open.starts_at is not None
        assert playlist.segments[0].starts_at == playlist.open.starts_at - timedelta(seconds=2)


def test_the_gap_before_the_first_segment_leaves_with_the_window(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 18)
    first = bench.check(packager.epoch)["720p"].segments[0]
    assert (first.msn, first.gap) == (0, True)
    run(packager, 4, at=18)
    first = bench.check(packager.epoch)["720p"].segments[0]
    assert (first.msn, first.gap) == (2, False)


def test_no_part_is_there_before_the_state_knows_its_segment(
    bench: Workbench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or a process after this one would give the name of a part that was delivered to other bytes."""
    written: list[str] = []
    write = Storage.write

    def fail_once(self: Storage, name: str, data: bytes, *, reserve: int = 0) -> None:
        if name == STATE_FILE and STATE_FILE not in written:
            written.append(name)
            raise StorageError("no space", full=True)
        write(self, name, data, reserve=reserve)
        written.append(name)

    monkeypatch.setattr(Storage, "write", fail_once)
    first = bench.packager()
    first.begin([HIGH], started_at=STARTED)
    video = pictures()
    first.feed("720p", video.init() + video.seconds(0.75))
    media = [name.rpartition("/")[2] for name in written if name.endswith((STATE_FILE, ".m4s"))]
    assert media == [STATE_FILE, STATE_FILE, "1.1.m4s", "1.2.m4s"]
    assert bench.packager().next_msn == 2


def test_a_process_killed_before_its_first_part_leaves_nothing(bench: Workbench) -> None:
    first = bench.packager()
    first.begin([HIGH], started_at=STARTED)
    video = pictures()
    blocked = bench.directory / first.epoch / "720p" / "1.0.m4s"
    blocked.mkdir(parents=True)
    first.feed("720p", video.init() + video.seconds(0.25))
    blocked.rmdir()
    second = bench.packager()
    assert second.next_msn == 0
    run(second, 5, at=10)
    assert not any(item.discontinuity for item in bench.check(second.epoch)["720p"].segments)


def test_renditions_report_how_far_the_others_are(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 5.25, end=False)
    playlists = bench.check(packager.epoch)
    assert set(playlists["720p"].reports) == {"../360p/index.m3u8", "../audio/index.m3u8"}
    assert playlists["720p"].reports["../360p/index.m3u8"][0] == 3
    packager.end_run()
    newest = {
        name: (item.segments[-1].msn, len(item.segments[-1].parts) - 1)
        for name, item in bench.check(packager.epoch).items()
    }
    for name, playlist in bench.check(packager.epoch).items():
        expected = {f"../{other}/index.m3u8": place for other, place in newest.items() if other != name}
        assert playlist.reports == expected


def test_the_edge_has_what_the_files_have(bench: Workbench) -> None:
    edge = LiveEdge()
    packager = Packager(bench.root, "demo", bench.options, bench.keyring, edge)
    seen: set[bytes] = set()

    def compare(name: str) -> None:
        snapshot = edge.snapshot(packager.epoch, name)
        assert snapshot is not None
        path = bench.directory / packager.epoch / name / "index.m3u8"
        assert path.read_bytes() == snapshot.text
        seen.add(snapshot.text)

    edge.on_change = compare
    run(packager, 5)
    assert len(seen) > 8


def test_an_open_segment_that_was_seen_keeps_its_number(bench: Workbench) -> None:
    packager = bench.packager()
    packager.begin([HIGH, AUDIO], started_at=STARTED)
    video, track = pictures(), sound()
    packager.feed("720p", video.init() + video.seconds(5))
    packager.feed("audio", track.init() + track.seconds(3.9))
    packager.end_run()
    playlists = bench.check(packager.epoch)
    assert [item.gap for item in playlists["720p"].segments] == [True, *[False] * 3]
    assert [item.gap for item in playlists["audio"].segments] == [True, False, False, True]


def test_a_killed_process_leaves_a_gap_where_its_parts_were_seen(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 5, end=False)
    folder = bench.directory / first.epoch / "720p"
    seen = {name: (folder / name).read_bytes() for name in files(bench, first.epoch)}
    second = bench.packager()
    assert (second.epoch, second.next_msn) == (first.epoch, 4)
    for playlist in bench.check(second.epoch).values():
        assert [item.gap for item in playlist.segments] == [True, False, False, True]
        assert 0 < playlist.segments[3].duration <= 2
        assert not any(item.parts for item in playlist.segments)
    assert "3.0.m4s" not in files(bench, second.epoch)
    run(second, 5, at=10)
    for playlist in bench.check(second.epoch).values():
        assert [item.discontinuity for item in playlist.segments] == [False] * 4 + [True, False, False]
    for name in files(bench, second.epoch) & set(seen):
        assert (folder / name).read_bytes() == seen[name]


def test_other_part_lengths_begin_a_new_epoch(bench: Workbench) -> None:
    first = bench.packager()
    run(first, 4)
    bench.options = options(part=0.5, window=10)
    second = bench.packager()
    assert second.epoch > first.epoch
    run(second, 4, at=10)
    bench.check(second.epoch)


def test_a_part_that_cannot_be_written_is_a_gap(bench: Workbench, caplog: pytest.LogCaptureFixture) -> None:
    packager = bench.packager()
    packager.begin([HIGH], started_at=STARTED)
    video = pictures()
    packager.feed("720p", video.init() + video.seconds(0.5))
    # A directory where the file belongs: the write fails, and only this one.
    (bench.directory / packager.epoch / "720p" / "1.2.m4s").mkdir()
    packager.feed("720p", video.seconds(0.25))
    (bench.directory / packager.epoch / "720p" / "1.2.m4s").rmdir()
    packager.feed("720p", video.seconds(2))
    playlist = bench.check(packager.epoch)["720p"]
    assert [part.gap for part in playlist.segments[1].parts] == [False, False, True] + [False] * 5
    assert "part lost" in caplog.text


def test_a_rung_that_leaves_promises_nothing(bench: Workbench) -> None:
    packager = bench.packager()
    run(packager, 4)
    run(packager, 6, renditions=(LOW, AUDIO), at=10)
    playlists = bench.check(packager.epoch)
    assert playlists["720p"].hint is None
    assert playlists["360p"].hint is not None
    assert "../720p/index.m3u8" not in playlists["360p"].reports
