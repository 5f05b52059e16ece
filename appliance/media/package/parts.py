"""From fragments to parts: none longer than the part target, and none shorter than 85 % of it without need.

RFC 8216bis, 4.4.4.9, asks for both; the lower bound leaves out a segment's last part and parts that are
INDEPENDENT, as those of sound always are. FFmpeg cuts its fragments for the target (`fragment_seconds`), and
each of them is a part. The exceptions are here: a fragment that a keyframe ended early, and pictures that
are further apart than they should be.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from appliance.media.package.samples import split

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.media.package.fragment import TimedFragment
    from appliance.media.package.track import Track

SHORTEST: Final = Fraction(85, 100)
"""Of the part target (RFC 8216bis, 4.4.4.9)."""


def fragment_seconds(part_seconds: float) -> float:
    """What FFmpeg's -frag_duration has to be for parts of `part_seconds` at most.

    It cuts at the first frame that is as far from the fragment's start, or further: between 86 and 100 % of
    the target there is room for a frame of any rate in use.
    """
    return 0.86 * part_seconds


@dataclass(frozen=True, slots=True)
class CutPart:
    """A part that is complete. `duration` is in seconds; `data` is clear, and None where there is nothing."""

    duration: Fraction
    independent: bool
    data: bytes | None
    samples: int = 0


class PartCutter:
    """The parts of one segment. `target` is the longest, in seconds."""

    def __init__(self, target: Fraction, track: Track) -> None:
        self._target = target
        self._track = track
        self._held: list[TimedFragment] = []

    def add(self, fragment: TimedFragment, *, last: bool) -> Iterator[CutPart]:
        """Yields the parts that `fragment` completes; `last` when the segment probably ends with it."""
        self._held.append(fragment)
        while self._seconds() > self._target:
            yield from self._take_full()
        if self._held and (last or not self._may_grow()):
            yield self._take(len(self._held))

    def flush(self) -> Iterator[CutPart]:
        """The segment is over: yields what is held."""
        if self._held:
            yield self._take(len(self._held))

    def _seconds(self) -> Fraction:
        return sum((item.duration for item in self._held), Fraction(0))

    def _may_grow(self) -> bool:
        seconds = self._seconds()
        if self._track.kind == "audio" or seconds >= SHORTEST * self._target:
            return False
        newest = self._held[-1]
        return seconds + newest.duration / newest.samples <= self._target

    def _take(self, count: int) -> CutPart:
        taken, self._held = self._held[:count], self._held[count:]
        seconds = sum((item.duration for item in taken), Fraction(0))
        samples = sum(item.samples for item in taken)
        return CutPart(seconds, taken[0].keyframe, b"".join(item.data for item in taken), samples)

    def _take_full(self) -> Iterator[CutPart]:
        """The longest part that what is held has; there is more of it than the target."""
        count, seconds = 0, Fraction(0)
        while seconds + self._held[count].duration <= self._target:
            seconds += self._held[count].duration
            count += 1
        crossing = self._held[count]
        head, tail = split(crossing.data, self._track, self._target - seconds)
        fits = seconds + head.duration <= self._target
        if count and not fits:
            yield self._take(count)
            return
        cut = crossing.start + head.duration
        first = replace(crossing, end=cut, samples=head.samples, data=head.data)
        rest = []
        if tail is not None:
            rest = [
                replace(
                    crossing,
                    start=cut,
                    samples=tail.samples,
                    keyframe=tail.keyframe,
                    data=tail.data,
                )
            ]
        self._held[count : count + 1] = [first, *rest]
        part = self._take(count + 1)
        yield from [part] if fits else self._stretched(part)

    def _stretched(self, part: CutPart) -> Iterator[CutPart]:
        """One picture that stands for longer than a part may last: the part, and gaps for the rest of it."""
        yield replace(part, duration=self._target)
        left = part.duration - self._target
        while left > 0:
            seconds = min(left, self._target)
            yield CutPart(seconds, independent=False, data=None)
            left -= seconds
