"""Where segments begin: one list of boundaries for all renditions of a run.

Segment `n` of every rendition starts at boundary `n`, so that a player may switch at any segment.
Pictures lead: the first rung whose keyframe falls due sets the boundary and the others cut at their
keyframe nearest to it. Sound follows: it goes no further than the pictures, which may set the boundary where
they are, and cuts at the fragment nearest to it. Without pictures, sound leads. All times are seconds since
the run began.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR: Final = Fraction(1, 10)
"""How far from a boundary a keyframe counts as being on it: one frame at 10 frames a second."""


KEPT_BOUNDARIES: Final = 128
"""How many boundaries a timeline remembers: a run lasts for days, and its pipes are seconds apart."""


class Timed(Protocol):
    """What a cutter needs to know of a fragment."""

    @property
    def start(self) -> Fraction: ...
    @property
    def end(self) -> Fraction: ...
    @property
    def keyframe(self) -> bool: ...


T = TypeVar("T", bound=Timed)


@dataclass(frozen=True, slots=True)
class Placed(Generic[T]):
    """A fragment and the index, within the run, of the segment it belongs to.

    `last` tells that the segment ends with it when a keyframe follows, `full` that it has the wanted length.
    """

    index: int
    item: T
    last: bool = False
    full: bool = False


def target_duration(segment_seconds: float) -> int:
    """EXT-X-TARGETDURATION: whole seconds; EXTINF rounds to it or less (RFC 8216bis, 4.4.3.1)."""
    return max(1, math.ceil(segment_seconds))


def longest_segment(segment_seconds: float) -> Fraction:
    """The longest a segment of pictures may become, seconds; keyframes further apart have to be encoded anew.

    EXTINF may reach the target and a half. Of that half, 0.3 s are left to sound, which cuts at its fragment
    nearest to the boundary.
    """
    return target_duration(segment_seconds) + Fraction(1, 5)


class Timeline:
    """The boundaries of one run. `segment_seconds` is the wanted distance."""

    def __init__(self, segment_seconds: float) -> None:
        self.segment = Fraction(segment_seconds).limit_denominator(1000)
        self.longest = longest_segment(segment_seconds)
        # Sound that runs this far ahead of the pictures stops waiting for them. Encoders look ahead a
        # second or two.
        self.patience = max(Fraction(10), 4 * self.segment)
        self.oldest = 0
        """Index of the oldest boundary that is still known."""
        self._boundaries: deque[Fraction] = deque()
        self._reached: Fraction | None = None

    def reach(self, time: Fraction) -> None:
        """What sets boundaries has come as far as `time`."""
        self._reached = time if self._reached is None else max(time, self._reached)

    def has_passed(self, time: Fraction) -> bool:
        """Whether no boundary will be set at `time` any more: what sets them is beyond it."""
        return self._reached is not None and time < self._reached

    def boundary(self, index: int) -> Fraction | None:
        """Where segment `index` begins; None while nobody has set it. `index` is at least `oldest`."""
        place = index - self.oldest
        return self._boundaries[place] if place < len(self._boundaries) else None

    def set(self, index: int, time: Fraction) -> None:
        """Sets boundary `index` when it is the next one that is missing; the first to come decides."""
        if index == self.oldest + len(self._boundaries):
            self._boundaries.append(time)
            if len(self._boundaries) > KEPT_BOUNDARIES:
                self._boundaries.popleft()
                self.oldest += 1


class Leader(Generic[T]):
    """Places the fragments of a rendition that sets boundaries: pictures, or sound alone."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._index = -1
        self._start = Fraction(0)
        self._last_keyframe = Fraction(0)
        self._interval = Fraction(0)

    def add(self, item: T) -> Iterator[Placed[T]]:
        """Yields `item` placed, or nothing before the first keyframe."""
        if item.keyframe:
            self._interval = item.start - self._last_keyframe
            self._last_keyframe = item.start
        if self._index < 0:
            if not item.keyframe:
                return
            self._interval = Fraction(0)
            self._timeline.set(0, item.start)
            self._begin(0, item)
        elif item.keyframe and self._is_due(item.start):
            self._begin(self._index + 1, item)
        elif item.end - self._begun() > self._timeline.longest:
            # No keyframe in time: a target duration that is not kept is worse than a segment that needs its
            # predecessor.
            self._begin(self._index + 1, item)
        self._timeline.reach(item.end)
        yield Placed(self._index, item, self._is_due(item.end), self._is_full(item))

    def flush(self, until: Fraction | None) -> Iterator[Placed[T]]:  # noqa: ARG002 - a Follower needs it
        """Nothing waits here."""
        return iter(())

    def _begin(self, index: int, item: T) -> None:
        self._timeline.set(index, item.start)
        index = max(index, self._timeline.oldest)
        # After a hole the rendition may be behind by more than one boundary.
        while (later := self._timeline.boundary(index + 1)) is not None and item.start >= later - NEAR:
            index += 1
        self._index = index
        self._start = item.start

    def _begun(self) -> Fraction:
        """Where the open segment begins: here, or where the boundary is, by which sound goes."""
        boundary = self._timeline.boundary(max(self._index, self._timeline.oldest))
        return self._start if boundary is None else min(self._start, boundary)

    def _is_due(self, keyframe: Fraction) -> bool:
        """Whether a keyframe at that time begins the next segment."""
        planned = self._planned()
        if planned is not None:
            return keyframe >= planned - NEAR
        elapsed = keyframe - self._start
        if elapsed >= self._timeline.segment - NEAR:
            return True
        # A keyframe that comes early, but the next one would come too late.
        return elapsed >= self._timeline.segment / 2 and elapsed + self._interval > self._timeline.longest

    def _is_full(self, item: T) -> bool:
        end = self._planned()
        if end is None:
            end = self._start + self._timeline.segment
        return item.end >= end - NEAR / 10

    def _planned(self) -> Fraction | None:
        return self._timeline.boundary(max(self._index + 1, self._timeline.oldest))


class Follower(Generic[T]):
    """Places the fragments of a rendition that can be cut anywhere, by the boundaries that others set."""

    def __init__(self, timeline: Timeline) -> None:
        self._timeline = timeline
        self._index = 0
        self._placed = False
        self._waiting: deque[T] = deque()

    def add(self, item: T) -> Iterator[Placed[T]]:
        """Yields what can be placed now; the rest waits for the pictures."""
        self._waiting.append(item)
        self._catch_up()
        while self._waiting:
            begin = self._timeline.boundary(self._index)
            if begin is None:
                if not self._patience_over(self._waiting[0].start):
                    return
                self._timeline.set(self._index, self._waiting[0].start)
                continue
            head = self._waiting[0]
            middle = (head.start + head.end) / 2
            if not self._placed and middle < begin:
                # Sound from before the first picture would make the first segment too long.
                self._waiting.popleft()
                continue
            end = self._timeline.boundary(self._index + 1)
            if end is not None and middle >= end:
                self._index += 1
                continue
            early = head.end <= begin + self._timeline.segment / 2
            passed = self._timeline.has_passed(middle) and head.end <= begin + self._timeline.longest
            if end is None and not early and not passed:
                # From half a segment on, a keyframe may set the boundary at any time.
                if not self._patience_over(begin):
                    return
                self._timeline.set(self._index + 1, self._cut_after(begin))
                continue
            self._placed = True
            wanted = begin + self._timeline.segment if end is None else end
            full = head.end + (head.end - head.start) / 2 >= wanted
            yield Placed(self._index, self._waiting.popleft(), full, full)

    def flush(self, until: Fraction | None) -> Iterator[Placed[T]]:
        """The run is over: places what waits, but nothing from `until` on, where pictures end."""
        self._catch_up()
        while self._waiting:
            head = self._waiting.popleft()
            middle = (head.start + head.end) / 2
            begin = self._timeline.boundary(self._index)
            early = begin is None or (not self._placed and middle < begin)
            if early or (until is not None and middle >= until):
                continue
            self._placed = True
            while (end := self._timeline.boundary(self._index + 1)) is not None and middle >= end:
                self._index += 1
            start = self._timeline.boundary(self._index)
            if start is not None and head.end - start > self._timeline.longest:
                self._waiting.clear()
                return
            yield Placed(self._index, head)

    def _catch_up(self) -> None:
        """What begins after its first boundaries are forgotten has nothing to add to their segments."""
        if self._index < self._timeline.oldest:
            self._index, self._placed = self._timeline.oldest, False

    def _patience_over(self, since: Fraction) -> bool:
        return self._waiting[-1].end - since > self._timeline.patience

    def _cut_after(self, begin: Fraction) -> Fraction:
        wanted = begin + self._timeline.segment
        return min((item.start for item in self._waiting), key=lambda start: abs(start - wanted))
