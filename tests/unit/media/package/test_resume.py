"""Epochs, and what a new process makes of what it finds."""

from __future__ import annotations

import pytest

from tests.unit.media.package.handmade import HIGH, STARTED, run
from tests.unit.media.package.published import Workbench, options


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


@pytest.mark.parametrize("part", [0.0, 0.26])
def test_a_publisher_that_comes_and_goes_shortens_no_playlist_below_its_least(
    bench: Workbench, part: float
) -> None:
    bench.options = options(part=part, window=6)
    packager = bench.packager()
    run(packager, 20)
    for number in range(24):
        run(packager, 0.5, at=30 + number)
        for playlist in bench.check(packager.epoch).values():
            assert sum(item.duration for item in playlist.segments) >= 3 * playlist.target
    there = {path.name for path in (bench.directory / packager.epoch / "720p").glob("*.m4s")}
    newest, listed = packager.next_msn - 1, len(bench.check(packager.epoch)["720p"].segments)
    assert listed == 12
    assert {f"{number}.m4s" for number in range(newest - 2 * listed, newest)} <= there


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


def test_a_resumed_stream_ends_though_it_had_one_segment_only(bench: Workbench) -> None:
    run(bench.packager(), 2.5, end=False)
    second = bench.packager()
    second.finish()
    playlists = bench.check(second.epoch)
    assert [len(item.segments) for item in playlists.values()] == [1, 1, 1]
    assert all(item.ended for item in playlists.values())
