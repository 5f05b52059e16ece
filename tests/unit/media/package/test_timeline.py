"""Boundaries: who sets them and who follows."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest

from appliance.media.package.timeline import (
    KEPT_BOUNDARIES,
    Follower,
    Leader,
    Timeline,
    longest_segment,
    target_duration,
)

if TYPE_CHECKING:
    from collections.abc import Iterable


@dataclass(frozen=True)
class Piece:
    start: Fraction
    end: Fraction
    keyframe: bool = False


def pieces(end: float, keyframes: Iterable[float], *, begin: float = 0, step: float = 0.25) -> list[Piece]:
    """Fragments that end at `step`s and at keyframes, as FFmpeg's do."""
    keys = {Fraction(str(time)) for time in keyframes}
    first, last, width = Fraction(str(begin)), Fraction(str(end)), Fraction(str(step))
    steps = {first + width * number for number in range(int((last - first) / width) + 1)}
    times = sorted(steps | {key for key in keys if first <= key <= last})
    return [Piece(a, b, a in keys) for a, b in pairwise(times)]


def cuts(cutter: Leader[Piece] | Follower[Piece], items: Iterable[Piece]) -> list[float]:
    """Where each new segment begins."""
    starts: dict[int, float] = {}
    for item in items:
        for placed in cutter.add(item):
            starts.setdefault(placed.index, float(placed.item.start))
    assert list(starts) == sorted(starts)
    return list(starts.values())


@pytest.mark.parametrize(("wanted", "target"), [(2.0, 2), (2.002, 3), (1.5, 2), (0.3, 1), (6.0, 6)])
def test_target(wanted: float, target: int) -> None:
    assert target_duration(wanted) == target
    # With a fragment of sound more it still rounds to the target.
    assert round(float(longest_segment(wanted)) + 0.25) == target


def test_forced_keyframes() -> None:
    assert cuts(Leader(Timeline(2)), pieces(9, [0, 2, 4, 6, 8])) == [0, 2, 4, 6, 8]


def test_frequent_keyframes_are_not_all_cut_at() -> None:
    assert cuts(Leader(Timeline(2)), pieces(7, [number / 2 for number in range(14)])) == [0, 2, 4, 6]


def test_a_source_whose_keyframes_do_not_divide_the_segment() -> None:
    # The next one, at 2.8, would be too late.
    assert cuts(Leader(Timeline(2)), pieces(6, [0, 1.4, 2.8, 4.2, 5.6])) == [0, 1.4, 2.8, 4.2, 5.6]


def test_no_keyframes_at_all_keep_the_target() -> None:
    found = cuts(Leader(Timeline(2)), pieces(10, [0]))
    assert found == [0, 2, 4, 6, 8]


def test_nothing_before_the_first_keyframe() -> None:
    assert cuts(Leader(Timeline(2)), pieces(6, [1, 3, 5])) == [1, 3, 5]


def test_rungs_with_other_frame_times_follow_the_first() -> None:
    timeline = Timeline(2)
    assert cuts(Leader(timeline), pieces(7, [0, 2.02, 4.02, 6])) == [0, 2.02, 4.02, 6]
    assert cuts(Leader(timeline), pieces(7, [0, 1.97, 4, 6.03])) == [0, 1.97, 4, 6.03]


def test_a_rung_that_starts_late_joins_at_the_right_segment() -> None:
    timeline = Timeline(2)
    cuts(Leader(timeline), pieces(7, [0, 2, 4, 6]))
    late: Leader[Piece] = Leader(timeline)
    placed = [placed for item in pieces(7, [4, 6], begin=3) for placed in late.add(item)]
    assert {item.index for item in placed} == {2, 3}


@pytest.mark.parametrize("first", ["sound", "pictures"])
def test_sound_cuts_nearest(first: str) -> None:
    timeline = Timeline(2)
    leader: Leader[Piece] = Leader(timeline)
    follower: Follower[Piece] = Follower(timeline)
    sound = pieces(8, [], begin=-0.02, step=0.256)
    if first == "pictures":
        cuts(leader, pieces(9, [0, 2, 4, 6, 8]))
        found = cuts(follower, sound)
    else:
        head = [placed for item in sound for placed in follower.add(item)]
        assert head == []
        cuts(leader, pieces(9, [0, 2, 4, 6, 8]))
        found = cuts(follower, pieces(8.3, [], begin=8.0, step=0.256))
    assert len(found) >= 4
    assert all(abs(time - 2 * number) <= 0.128 for number, time in enumerate(found))


def test_sound_from_before_the_first_picture_is_left_out() -> None:
    timeline = Timeline(2)
    cuts(Leader(timeline), pieces(6, [1.5, 3.5, 5.5]))
    assert cuts(Follower(timeline), pieces(5, []))[0] == 1.5


def test_sound_goes_on_without_pictures() -> None:
    timeline = Timeline(2)
    found = cuts(Follower(timeline), pieces(30, []))
    assert found[:5] == [0, 2, 4, 6, 8]


def test_flush_ends_with_the_pictures() -> None:
    timeline = Timeline(2)
    cuts(Leader(timeline), pieces(3.25, [0, 2]))
    follower: Follower[Piece] = Follower(timeline)
    cuts(follower, pieces(8, []))
    rest = list(follower.flush(Fraction(7, 2)))
    assert [(float(item.item.end), item.index) for item in rest] == [(3.5, 1)]


def test_sound_goes_as_far_as_the_pictures_at_once() -> None:
    timeline = Timeline(2)
    leader: Leader[Piece] = Leader(timeline)
    follower: Follower[Piece] = Follower(timeline)
    for item in pieces(1.75, [0]):
        list(leader.add(item))
    placed = [float(placed.item.end) for item in pieces(4, []) for placed in follower.add(item)]
    assert placed[-1] == 1.75


def long_ago() -> Timeline:
    """A timeline that has forgotten its first ten boundaries."""
    timeline = Timeline(2)
    seconds = 2 * (KEPT_BOUNDARIES + 10)
    cuts(Leader(timeline), pieces(seconds, range(0, seconds, 2), step=1))
    assert timeline.oldest == 10
    return timeline


def test_a_timeline_does_not_grow_with_the_run() -> None:
    timeline = Timeline(1)
    leader: Leader[Piece] = Leader(timeline)
    for second in range(5 * KEPT_BOUNDARIES):
        list(leader.add(Piece(Fraction(second), Fraction(second + 1), keyframe=True)))
    known = [timeline.boundary(index) for index in range(timeline.oldest, 5 * KEPT_BOUNDARIES)]
    assert len(known) == KEPT_BOUNDARIES
    assert None not in known


def test_a_rung_that_starts_when_the_first_boundaries_are_forgotten() -> None:
    late: Leader[Piece] = Leader(long_ago())
    placed = [placed for item in pieces(104, [100, 102], begin=100) for placed in late.add(item)]
    assert {item.index for item in placed} == {50, 51}


def test_sound_that_starts_when_the_first_boundaries_are_forgotten() -> None:
    late: Follower[Piece] = Follower(long_ago())
    early = [placed for item in pieces(20, [], begin=15) for placed in late.add(item)]
    assert early == []
    placed = [placed for item in pieces(24, [], begin=20) for placed in late.add(item)]
    assert {item.index for item in placed} == {10, 11}
    assert [item.index for item in Follower[Piece](long_ago()).flush(None)] == []


def test_sound_does_not_outgrow_its_segment_when_a_rung_has_no_keyframes() -> None:
    timeline = Timeline(2)
    without: Leader[Piece] = Leader(timeline)
    regular: Leader[Piece] = Leader(timeline)
    follower: Follower[Piece] = Follower(timeline)
    frames, keyed = pieces(12, [0], step=0.24), pieces(12, range(0, 12, 2), step=0.24)
    heard = pieces(12, [], step=0.2347)
    # The rung with keyframes is ahead first, and sets 2 and 4; then the other one is, beyond 6.
    cuts(regular, [item for item in keyed if item.start < 5])
    cuts(without, [item for item in frames if item.start < 6.3])
    placed = [placed for item in heard if item.start < 7 for placed in follower.add(item)]
    cuts(regular, [item for item in keyed if item.start >= 5])
    placed += [placed for item in heard if item.start >= 7 for placed in follower.add(item)]
    assert timeline.boundary(3) == 6
    third = [float(item.item.end - item.item.start) for item in placed if item.index == 2]
    assert round(sum(third)) <= 2, third


def test_a_rung_without_keyframes_sets_no_boundary_too_late() -> None:
    timeline = Timeline(2)
    regular: Leader[Piece] = Leader(timeline)
    cuts(regular, pieces(5, range(0, 5, 2), step=0.24))
    cuts(Leader(timeline), pieces(9, [0], step=0.24))  # its own segments begin later than the boundaries
    boundaries = [timeline.boundary(index) for index in range(5)]
    known = [float(boundary) for boundary in boundaries if boundary is not None]
    assert len(known) > 3
    assert max(b - a for a, b in pairwise(known)) <= float(timeline.longest), known
