"""One FFmpeg's life in the packager: its renditions' bytes become parts and segments of the stream."""

from __future__ import annotations

import math
import time
from datetime import timedelta
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.media.codec.frame_rate import frame_rate
from appliance.media.package.arrivals import Arrivals
from appliance.media.package.catalogue import Entry, RenditionState, wall_clock
from appliance.media.package.listing import part_file
from appliance.media.package.muxing import Muxer
from appliance.media.package.playlist import Part
from appliance.media.package.recovery import align, fill
from appliance.media.package.segmenter import ClosedSegment, ReadyPart, Segmenter
from appliance.media.package.timeline import Timeline

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from appliance.media.package.catalogue import StreamState
    from appliance.media.package.options import PackagingOptions
    from appliance.media.package.parts import CutPart
    from appliance.media.package.rendition import Rendition
    from appliance.media.package.track import Track
    from appliance.media.package.writer import StreamWriter
    from appliance.media.storage import Storage


class PackagingRun:
    """Cuts what comes in and hands it to `writer`; `state` has the run's `renditions` already.

    `started_at` is the time of its media time 0.
    """

    def __init__(
        self,
        state: StreamState,
        renditions: Sequence[Rendition],
        options: PackagingOptions,
        *,
        started_at: datetime,
        storage: Storage,
        writer: StreamWriter,
    ) -> None:
        self._state = state
        self._options = options
        self._started_at = started_at
        self._storage = storage
        self._writer = writer
        self.arrivals = Arrivals()
        # With parts, a gap comes before the first segment (`_open`) and takes the number 0.
        self._first_msn = state.next_msn or int(options.part_seconds > 0)
        # No date may lie before the end of what was listed already: a run's first frame may have come early.
        self._not_before = max(
            (entry.starts_at + entry.duration for item in state.renditions for entry in item.entries[-1:]),
            default=0.0,
        )
        self._sampled: dict[str, tuple[int, Fraction]] = {}
        self._base = state.next_base
        leading = "video" if any(item.kind == "video" for item in renditions) else "audio"
        timeline = Timeline(options.segment_seconds)
        self._segmenters = {
            item.name: Segmenter(
                item,
                timeline,
                leads=item.kind == leading,
                base=self._base,
                part_target=options.part_seconds,
                container=options.container,
            )
            for item in renditions
        }
        self._leading = leading
        self._muxer = Muxer(list(self._segmenters.values())) if options.container == "mpegts" else None

    @property
    def names(self) -> frozenset[str]:
        """Of its renditions."""
        return frozenset(self._segmenters)

    def feed(self, rendition: str, data: bytes) -> None:
        """Publishes what `data`, the next bytes of a rendition, completes. Raises Mp4Error."""
        segmenter = self._segmenters[rendition]
        try:
            if self._muxer is not None:
                for rung, segment in self._muxer.overdue(rendition):
                    self._publish(rung, segment)
            for item in segmenter.feed(data):
                self._take(segmenter, item)
        finally:
            self._writer.flush(self._state)

    def end(self) -> None:
        """Completes the last, short segments, as many in every rendition (`Packager.end_run`)."""
        segmenters = list(self._segmenters.values())
        leaders = [item for item in segmenters if item.rendition.kind == self._leading]
        ends = [item.end for item in leaders if item.end is not None]
        for segmenter in segmenters:
            for item in segmenter.flush(max(ends, default=None)):
                self._take(segmenter, item)
        last = max(item.closed for item in segmenters)
        live = [item for item in segmenters if item.closed or item.open_index is not None]
        shared = bool(self._options.part_seconds) or all(item.open_index == last for item in live)
        for segmenter in live:
            index = segmenter.open_index
            if index is not None and (index < last or shared):
                for item in segmenter.close_open():
                    self._take(segmenter, item)
        if self._muxer is not None:
            for rung, segment in self._muxer.flush():
                self._publish(rung, segment)
        align(self._storage, self._state)
        self._writer.settle(self._state)

    def _take(self, segmenter: Segmenter, item: ReadyPart | ClosedSegment) -> None:
        """Publishes `item`, or with Transport Streams what it completes."""
        if self._muxer is None or isinstance(item, ReadyPart):
            self._publish(segmenter, item)
            return
        for rung, segment in self._muxer.add(segmenter.rendition.name, item):
            self._publish(rung, segment)

    def _publish(self, segmenter: Segmenter, item: ReadyPart | ClosedSegment) -> None:
        state = self._state
        rendition = state.rendition(segmenter.rendition.name)
        track, init = segmenter.track, segmenter.init
        if rendition is None or track is None or init is None:
            raise RuntimeError(f"{segmenter.rendition.name}: media before its init section")
        codecs = track.codecs
        if self._muxer is not None:
            codecs, init = self._muxer.codecs(track), None
        entry = rendition.entries[-1] if rendition.entries else None
        if entry is None or entry.msn != self._first_msn + item.index:
            entry = self._open(rendition, item, init)
        _describe(rendition, track, codecs)
        if isinstance(item, ReadyPart):
            entry.independent = entry.independent and (item.part.independent or bool(entry.parts))
            entry.full = item.full
            self._estimate_rate(rendition, track, item.part)
            self._writer.publish_part(state, rendition, entry, item.part, init)
            if not entry.parts[-1].gap:
                rendition.delay = self._delay(entry, sum(part.duration for part in entry.parts))
        else:
            _describe_rate(rendition, track, item, self._options.segment_seconds)
            end = self._base + math.ceil(item.start + item.duration) + 1
            state.next_base = max(state.next_base, end)
            entry.duration, entry.independent = float(item.duration), item.independent
            self._writer.close(state, rendition, entry, item.data, init)
            if not rendition.parts and not entry.gap:
                rendition.delay = self._delay(entry, entry.duration)

    def _delay(self, entry: Entry, seconds: float) -> float:
        """For how long the first `seconds` of `entry` were here before they were published, which is now."""
        end, now = entry.starts_at + seconds, time.time()
        here = self.arrivals.at(end - self._started_at.timestamp())
        return now - (end if here is None else here)

    def _open(self, rendition: RenditionState, item: ReadyPart | ClosedSegment, init: bytes | None) -> Entry:
        state = self._state
        msn = self._first_msn + item.index
        for other in state.renditions:
            # What has left the ladder goes on as gaps, so that its last viewers switch.
            if (other is rendition or not other.active) and fill(self._storage, state, other, msn):
                self._writer.touch(other)
        starts_at = wall_clock(self._started_at, item.start)
        if starts_at < self._not_before:
            self._started_at += timedelta(seconds=self._not_before - starts_at)
            starts_at = self._not_before
        self._not_before = 0.0
        if self._options.part_seconds and not rendition.entries:
            rendition.entries.append(_missing(msn - 1, starts_at, self._options))
        entry = Entry(msn, starts_at, 0.0, 0, 0)
        self._writer.open(state, rendition, entry, init)
        return entry

    def _estimate_rate(self, rendition: RenditionState, track: Track, part: CutPart) -> None:
        """Notes the frame rate of the parts so far, until the first whole segment gives a better one."""
        if track.kind != "video" or rendition.total_seconds or not part.samples:
            return
        samples, seconds = self._sampled.get(rendition.name, (0, Fraction(0)))
        samples, seconds = samples + part.samples, seconds + part.duration
        self._sampled[rendition.name] = samples, seconds
        rendition.frame_rate = frame_rate(samples, float(seconds))


def _missing(msn: int, until: float, options: PackagingOptions) -> Entry:
    """The gap before the first segment of all, which begins at `until` (unix seconds).

    With it players may begin with the first parts: hls.js takes a playlist without any segment for an error,
    and loads parts only where those of an earlier segment are listed.
    """
    seconds = options.segment_seconds
    length = Fraction(options.part_seconds).limit_denominator(1_000_000)
    whole, rest = divmod(Fraction(seconds).limit_denominator(1_000_000), length)
    lengths = [options.part_seconds] * int(whole) + ([float(rest)] if rest else [])
    parts = [Part(part_file(msn, number), length, gap=True) for number, length in enumerate(lengths)]
    return Entry(msn, until - seconds, seconds, 0, -1, gap=True, parts=parts)


def _describe(rendition: RenditionState, track: Track, codecs: str) -> None:
    """Notes what the multivariant playlist says of the codecs."""
    rendition.codecs = codecs
    rendition.width, rendition.height, rendition.channels = track.width, track.height, track.channels


def _describe_rate(rendition: RenditionState, track: Track, segment: ClosedSegment, wanted: float) -> None:
    """Notes the frame rate, once in a run and from a segment of at least half the `wanted` seconds."""
    seconds = float(segment.duration)
    first = segment.index == 0 and seconds >= wanted / 2
    if track.kind == "video" and seconds > 0 and (first or not rendition.frame_rate):
        rendition.frame_rate = frame_rate(segment.samples, seconds)
