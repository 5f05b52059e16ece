"""From one rendition's byte stream to parts and segments: split, placed on the timeline, moved, joined."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from appliance.media.package.access_units import access_units
from appliance.media.package.fragment import Fragment, TimedFragment, read_fragment
from appliance.media.package.mp4 import InitSection, Mp4Error, Splitter
from appliance.media.package.parts import CutPart, PartCutter
from appliance.media.package.timeline import Follower, Leader, Placed, Timeline
from appliance.media.package.track import Track, read_track

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from appliance.media.package.access_units import AccessUnit
    from appliance.media.package.rendition import Rendition
    from appliance.settings import Container

MAX_BACKWARD: Final = Fraction(1, 2)
"""Seconds a fragment may begin before its predecessor's end; more is a broken clock."""


@dataclass(frozen=True, slots=True)
class ReadyPart:
    """A part of segment `index`, which begins at `start` (seconds since the run began).

    `full` tells that the segment probably ends with it.
    """

    index: int
    start: Fraction
    part: CutPart
    full: bool


@dataclass(frozen=True, slots=True)
class ClosedSegment:
    """A segment that is complete; `data` is clear. Times are seconds since the run began.

    For a Transport Stream its content are `units`, which are not packets yet.
    """

    index: int
    start: Fraction
    duration: Fraction
    samples: int
    independent: bool
    data: bytes
    units: tuple[AccessUnit, ...] = ()


@dataclass(slots=True)
class _Open:
    index: int
    parts: PartCutter | None
    fragments: list[TimedFragment] = field(default_factory=list)

    def add(self, item: Placed[TimedFragment]) -> Iterator[ReadyPart]:
        self.fragments.append(item.item)
        if self.parts is not None:
            yield from self._ready(self.parts.add(item.item, last=item.last), full=item.full)

    def flush(self) -> Iterator[ReadyPart]:
        if self.parts is not None:
            yield from self._ready(self.parts.flush(), full=True)

    def close(self) -> ClosedSegment:
        first = self.fragments[0]
        return ClosedSegment(
            index=self.index,
            start=first.start,
            duration=sum((item.duration for item in self.fragments), Fraction(0)),
            samples=sum(item.samples for item in self.fragments),
            independent=first.keyframe,
            data=b"".join(item.data for item in self.fragments),
            units=tuple(unit for item in self.fragments for unit in item.units),
        )

    def _ready(self, parts: Iterable[CutPart], *, full: bool) -> Iterator[ReadyPart]:
        for part in parts:
            yield ReadyPart(self.index, self.fragments[0].start, part, full)


class Segmenter:
    """One rendition in one run.

    Parameters
    ----------
    rendition
        Names what is in error messages.
    timeline
        Shared by all renditions of the run.
    leads
        Whether this rendition sets boundaries.
    base
        Whole seconds that are added to all decode times.
    part_target
        Longest part, seconds; 0 makes none.
    container
        With ``mpegts``, segments have access units instead of bytes, and no parts.
    """

    def __init__(
        self,
        rendition: Rendition,
        timeline: Timeline,
        *,
        leads: bool,
        base: int,
        part_target: float,
        container: Container,
    ) -> None:
        self.rendition = rendition
        self.init: bytes | None = None
        self.track: Track | None = None
        self.closed = 0
        """Index of the next segment to be closed."""
        self._timeline = timeline
        self._cutter: Leader[TimedFragment] | Follower[TimedFragment]
        self._cutter = Leader(timeline) if leads else Follower(timeline)
        self._base = base
        self._part_target = Fraction(part_target).limit_denominator(1_000_000)
        self._container = container
        self._splitter = Splitter()
        self._lead: Fraction | None = None
        self._reorder = 0
        self._end: Fraction | None = None
        self._open: _Open | None = None

    @property
    def end(self) -> Fraction | None:
        """Where the newest fragment ends, seconds since the run began; None before the first."""
        return self._end

    @property
    def open_index(self) -> int | None:
        """Index of the segment that has fragments and is not closed; None when there is none."""
        return None if self._open is None else self._open.index

    def feed(self, data: bytes) -> Iterator[ReadyPart | ClosedSegment]:
        """Yields the parts and segments that `data` completes; a segment after its parts.

        Raises Mp4Error, naming the rendition, for bytes that are no fragmented MP4, an unknown codec, or
        times that jump. The run is over then.
        """
        try:
            for item in self._splitter.feed(data):
                if isinstance(item, InitSection):
                    self.init, self.track = item.data, self._read_track(item.data)
                elif self.track is not None:
                    fragment = self._timed(read_fragment(item, self.track), self.track)
                    yield from self._place(self._cutter.add(fragment), self.track)
        except Mp4Error as error:
            raise Mp4Error(f"rendition {self.rendition.name}: {error}") from None

    def flush(self, until: Fraction | None) -> Iterator[ReadyPart | ClosedSegment]:
        """The run is over: places what waits; `until` is where pictures end. The last segment stays open."""
        if self.track is not None:
            yield from self._place(self._cutter.flush(until), self.track)

    def close_open(self) -> Iterator[ReadyPart | ClosedSegment]:
        """Closes the open segment, if there is one, with what it has."""
        if self._open is not None:
            yield from self._open.flush()
            yield self._open.close()
            self.closed = self._open.index + 1
            self._open = None

    def _read_track(self, init: bytes) -> Track:
        track = read_track(init)
        if track.kind != self.rendition.kind:
            raise Mp4Error(f"carries {track.kind}, not {self.rendition.kind}")
        return track

    def _timed(self, fragment: Fragment, track: Track) -> TimedFragment:
        if self._lead is None:
            # The distance from decoding to showing a keyframe; constant over a run of one encoder.
            self._lead = fragment.composition
            if track.kind == "video":
                # The first fragment may not show how deep B-frames go; x264 never goes deeper than two
                # frames.
                frames = fragment.duration * track.timescale / fragment.samples
                self._reorder = max(fragment.reorder, int(2 * frames))
        start = fragment.decode + self._lead
        end = start + fragment.duration
        if self._end is not None:
            self._check_clock(start, self._end)
        self._end = end
        data = fragment.moved(self._base * track.timescale, self._reorder)
        if self._container == "mpegts":
            units = access_units(data, track)
            return TimedFragment(start, end, fragment.keyframe, fragment.samples, b"", units)
        return TimedFragment(start, end, fragment.keyframe, fragment.samples, data)

    def _check_clock(self, start: Fraction, expected: Fraction) -> None:
        jump = start - expected
        # A hole that is longer than a segment may be cannot be played over; the run has to begin anew.
        if jump < -MAX_BACKWARD or jump > self._timeline.longest:
            raise Mp4Error(f"time jumps from {float(expected):.3f} s to {float(start):.3f} s")

    def _place(
        self, placed: Iterable[Placed[TimedFragment]], track: Track
    ) -> Iterator[ReadyPart | ClosedSegment]:
        for item in placed:
            if self._open is not None and item.index != self._open.index:
                yield from self.close_open()
            if self._open is None:
                parts = PartCutter(self._part_target, track) if self._part_target else None
                self._open = _Open(item.index, parts)
            yield from self._open.add(item)
