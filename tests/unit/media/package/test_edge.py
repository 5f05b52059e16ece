"""What a request for something newer may hope for (RFC 8216bis, 6.2.5.2 and 6.2.6)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.media.package.edge import LiveEdge, Outlook, Snapshot
from appliance.media.package.playlist import LowLatency, MediaPlaylist, Part, Segment, render_media
from tests.unit.media.package.handmade import STARTED

READY, WAIT, NEVER = Outlook.READY, Outlook.WAIT, Outlook.NEVER


def segment(msn: int, parts: int, *, gap: bool = False) -> Segment:
    listed = tuple(Part(f"{msn}.{number}.m4s", 0.25) for number in range(parts))
    return Segment(f"{msn}.m4s", 2.0, STARTED.timestamp(), "init-0.mp4", gap=gap, parts=listed)


def snapshot(*parts: int, open_parts: int = 0, first: int = 5, ended: bool = False) -> Snapshot:
    """Whole segments from `first` on with that many parts each, and the open one behind them."""
    whole = tuple(segment(first + number, count) for number, count in enumerate(parts))
    opened = segment(first + len(whole), open_parts) if open_parts else None
    playlist = MediaPlaylist(
        2, first, 0, whole, ended=ended, low_latency=LowLatency(0.25, open_segment=opened)
    )
    return Snapshot("epoch", playlist, render_media(playlist).encode())


@pytest.mark.parametrize(
    ("msn", "part", "outlook"),
    [
        # Segments 5, 6 and 7 are whole, with eight parts in 7; of 8 there are three.
        (0, None, READY),
        (7, None, READY),
        (8, None, WAIT),
        (9, None, WAIT),
        (10, None, NEVER),
        (0, 99, READY),
        (6, 99, READY),
        (7, 7, READY),
        (7, 8, READY),
        (7, 99, READY),
        (7, 1_000_000, READY),
        (8, 0, READY),
        (8, 2, READY),
        (8, 3, WAIT),
        (8, 14, WAIT),
        (8, 15, NEVER),
        (9, 0, WAIT),
        (9, 11, WAIT),
        (9, 12, NEVER),
        (10, 0, NEVER),
    ],
)
def test_reload(msn: int, part: int | None, outlook: Outlook) -> None:
    assert snapshot(8, 8, 8, open_parts=3).reload(msn, part) is outlook


@pytest.mark.parametrize(
    ("msn", "part", "outlook"),
    [(7, 7, READY), (7, 8, WAIT), (7, 19, WAIT), (7, 20, NEVER), (8, 0, WAIT), (8, 1, WAIT), (8, None, WAIT)],
)
def test_reload_between_two_segments(msn: int, part: int | None, outlook: Outlook) -> None:
    assert snapshot(8, 8, 8).reload(msn, part) is outlook


def test_reload_of_a_part_that_never_was_waits_for_the_next_segment() -> None:
    # After a restart or a loss a segment has no parts: its first is the next one's first.
    assert snapshot(8, 0).reload(6, 0) is WAIT
    assert snapshot(8, 0, open_parts=1).reload(6, 0) is READY


def test_reload_before_the_first_whole_segment() -> None:
    edge = snapshot(open_parts=2, first=0)
    assert [edge.reload(0, 1), edge.reload(0, 2), edge.reload(0, None)] == [READY, WAIT, WAIT]
    assert [edge.reload(1, 0), edge.reload(2, 0)] == [WAIT, NEVER]
    # A rendition that came later begins with a later number.
    assert snapshot(open_parts=1, first=9).reload(8, 3) is READY


def test_an_ended_stream_answers_whatever_is_asked() -> None:
    edge = snapshot(8, 8, ended=True)
    assert {edge.reload(99, None), edge.reload(99, 99), edge.reload(0, 0)} == {READY}
    assert edge.part(7, 0) is NEVER


@pytest.mark.parametrize(
    ("msn", "part", "outlook"),
    [
        (7, 7, READY),
        (7, 8, NEVER),
        (4, 0, NEVER),
        (8, 2, READY),
        (8, 3, WAIT),
        (8, 15, NEVER),
        (9, 0, WAIT),
        (9, 1, NEVER),
        (10, 0, NEVER),
    ],
)
def test_part(msn: int, part: int, outlook: Outlook) -> None:
    assert snapshot(8, 8, 8, open_parts=3).part(msn, part) is outlook


def test_without_parts_only_segments_are_waited_for() -> None:
    whole = snapshot(0, 0)
    plain = replace(whole, playlist=replace(whole.playlist, low_latency=None))
    assert [plain.reload(6, None), plain.reload(7, None), plain.part(7, 0)] == [READY, WAIT, NEVER]


def test_delta_leaves_out_what_ended_before_the_skip_boundary() -> None:
    edge = snapshot(*[0] * 10, open_parts=2)
    delta = edge.delta().decode()
    # Behind the end of segment 8 lie six of two seconds, which is the boundary and not beyond it.
    assert "#EXT-X-VERSION:9\n" in delta
    assert "#EXT-X-SKIP:SKIPPED-SEGMENTS=3\n" in delta
    kept = edge.text.decode().partition('#EXT-X-MAP:URI="init-0.mp4"\n')[2]
    assert delta.endswith("SKIPPED-SEGMENTS=3\n" + "".join(kept.splitlines(keepends=True)[9:]))
    assert snapshot(*[0] * 7).delta() == snapshot(*[0] * 7).text
    assert b"SKIP:" not in snapshot(*[0] * 10, ended=True).delta()


def test_the_edge_knows_one_epoch_and_tells_of_changes() -> None:
    edge = LiveEdge()
    seen: list[str] = []
    edge.on_change = seen.append
    playlist = snapshot(8).playlist
    edge.publish("a", "720p", playlist, b"text")
    assert edge.snapshot("a", "720p") is not None
    assert edge.snapshot("b", "720p") is None
    assert edge.snapshot("a", "audio") is None
    edge.clear()
    assert edge.snapshot("a", "720p") is None
    assert seen == ["720p", "720p"]
