"""The packager: fragmented MP4 of all renditions in, encrypted HLS on disk out.

It is synchronous and does no more than a few milliseconds of work at a time, so that the session's event loop
calls it directly. An *epoch* is the life of a stream from its first picture to EXT-X-ENDLIST; a *run* is one
FFmpeg within it. Between runs there is a discontinuity; between epochs nothing is shared but the stream's
URL.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Literal

from appliance.media.encode.frame_rate import frame_rate
from appliance.media.package.catalogue import (
    STATE_FILE,
    Entry,
    RenditionState,
    StreamState,
    is_epoch,
    new_epoch_name,
    wall_clock,
)
from appliance.media.package.edge import LiveEdge
from appliance.media.package.key_schedule import KeySchedule
from appliance.media.package.playlist_writer import PlaylistWriter
from appliance.media.package.recovery import align, fill, recover
from appliance.media.package.segmenter import ClosedSegment, ReadyPart, Segmenter
from appliance.media.package.storage import Storage
from appliance.media.package.timeline import Timeline, target_duration
from appliance.media.package.writer import StreamWriter

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.media.package.rendition import Rendition
    from appliance.media.package.track import Track
    from appliance.secrets.keyring import Keyring

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class PackagingOptions:
    """Parameters
    ----------
    segment_seconds
        Wanted length of a segment; the encoder puts a keyframe at each multiple.
    window_segments
        How many segments a live playlist lists; at least 1.
    rotation_seconds
        Media time after which the content key changes, at the next segment.
    encryption
        ``none`` leaves segments clear.
    part_seconds
        Longest low-latency part (PART-TARGET); 0 makes none.
    """

    segment_seconds: float
    window_segments: int
    rotation_seconds: float
    encryption: Literal["aes-128", "none"]
    part_seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class _Run:
    started_at: datetime
    first_msn: int
    base: int
    timeline: Timeline
    segmenters: dict[str, Segmenter]
    leaders: tuple[Segmenter, ...]


class Packager:
    """Publishes one stream below ``root/stream``; goes on where a process before it stopped.

    Parameters
    ----------
    root
        The media root, for example ``/srv/hls``; it has to exist.
    stream
        The stream's name, already checked (`appliance.names`).
    keyring
        Needed for ``aes-128``; not used for ``none``.
    edge
        Gets every playlist that is written; None where nobody waits for them.

    Raises ValueError when the keyring is missing or an option makes no sense.
    """

    def __init__(
        self,
        root: Path,
        stream: str,
        options: PackagingOptions,
        keyring: Keyring | None,
        edge: LiveEdge | None = None,
    ) -> None:
        if options.encryption == "aes-128" and keyring is None:
            raise ValueError("aes-128 needs a keyring")
        if options.segment_seconds <= 0 or options.window_segments < 1:
            raise ValueError("segment_seconds and window_segments have to be above 0")
        self._options = options
        self._stream = stream
        self._storage = Storage(root / stream)
        self._keys = KeySchedule(
            stream, keyring if options.encryption == "aes-128" else None, options.rotation_seconds
        )
        self._playlists = PlaylistWriter(self._storage, stream, options.window_segments, edge or LiveEdge())
        self._writer = StreamWriter(self._storage, stream, self._playlists, self._keys)
        self._run: _Run | None = None
        self._old_epochs = True
        self._state = self._resume()

    @property
    def epoch(self) -> str:
        """The directory of the present epoch."""
        return self._state.epoch

    @property
    def playable(self) -> bool:
        """Whether the multivariant playlist offers the present epoch."""
        return self._playlists.shows(self._state)

    @property
    def next_msn(self) -> int:
        """The media sequence number of the next new segment."""
        return self._state.next_msn

    @property
    def content_key(self) -> tuple[str, float] | None:
        """Id of the content key in use and the time (unix seconds) of the first segment under it.

        None before the first segment, and without encryption.
        """
        return None if self._state.kid is None else (self._state.kid, self._state.kid_since)

    def rotate_key(self) -> None:
        """Takes a new content key from the next segment on, in all renditions at the same one."""
        self._keys.rotate()

    def replace_keyring(self, keyring: Keyring) -> None:
        """Takes keys from `keyring` from the next segment on. Raises ValueError without encryption."""
        self._keys.replace(keyring)

    def begin(self, renditions: Sequence[Rendition], *, started_at: datetime) -> None:
        """One FFmpeg begins; its media time 0 is `started_at` (aware).

        A discontinuity follows unless the epoch is empty; a finished epoch is followed by a new one. A
        run that is still open is ended first. Raises ValueError when there are no renditions, two of one
        name, or a name that stood for the other kind.
        """
        if started_at.tzinfo is None:
            raise ValueError("started_at has to be aware of its time zone")
        if not renditions or len({item.name for item in renditions}) != len(renditions):
            raise ValueError("a run has at least one rendition, and each name once")
        self.end_run()
        if self._state.finished:
            self.new_epoch()
        state = self._state
        for item in renditions:
            known = state.rendition(item.name)
            if known is not None and known.kind != item.kind:
                raise ValueError(f"rendition {item.name} was {known.kind} before in this epoch")
        if state.next_msn and state.next_msn not in state.breaks:
            state.breaks.append(state.next_msn)
        self._list(renditions)
        leading = "video" if any(item.kind == "video" for item in renditions) else "audio"
        timeline = Timeline(self._options.segment_seconds)
        segmenters = {
            item.name: Segmenter(
                item,
                timeline,
                leads=item.kind == leading,
                base=state.next_base,
                part_target=self._options.part_seconds,
            )
            for item in renditions
        }
        leaders = tuple(item for item in segmenters.values() if item.rendition.kind == leading)
        self._run = _Run(started_at, state.next_msn, state.next_base, timeline, segmenters, leaders)

    def feed(self, rendition: str, data: bytes) -> None:
        """Takes the next bytes of a rendition's pipe, cut anywhere; publishes the parts and segments they
        complete.

        Raises Mp4Error (a ValueError) when they are no fragmented MP4, hold an unknown codec or their
        times jump: end the run and begin another. Raises ValueError for a rendition that the run does not
        have.
        """
        run = self._run
        if run is None or rendition not in run.segmenters:
            raise ValueError(f"no run is open with a rendition {rendition!r}")
        segmenter = run.segmenters[rendition]
        try:
            for item in segmenter.feed(data):
                self._publish(run, segmenter, item)
        finally:
            self._flush()

    def end_run(self) -> None:
        """FFmpeg ended: complete fragments become the last, short segments, as many in every rendition.

        The segment that was open is published where all renditions have some of it, or viewers a part of it,
        and dropped otherwise; a rendition that lacks a published one gets a gap. Nothing happens when no run
        is open.
        """
        run = self._run
        if run is None:
            return
        self._run = None
        ends = [item.end for item in run.leaders if item.end is not None]
        segmenters = list(run.segmenters.values())
        for segmenter in segmenters:
            for item in segmenter.flush(max(ends, default=None)):
                self._publish(run, segmenter, item)
        last = max(item.closed for item in segmenters)
        live = [item for item in segmenters if item.closed or item.open_index is not None]
        shared = bool(self._options.part_seconds) or all(item.open_index == last for item in live)
        for segmenter in live:
            index = segmenter.open_index
            if index is not None and (index < last or shared):
                for item in segmenter.close_open():
                    self._publish(run, segmenter, item)
        align(self._storage, self._state)
        self._writer.settle(self._state)

    def finish(self) -> None:
        """The stream ended: EXT-X-ENDLIST in all playlists. The files stay; `remove` deletes them."""
        self.end_run()
        if not self._state.finished and self._state.next_msn:
            self._state.finished = True
            self._writer.settle(self._state)

    def new_epoch(self) -> None:
        """Starts over under a new directory; the old one is deleted once the new one has filled up."""
        self.finish()
        self._state = self._new_state(self._state)
        self._old_epochs = True

    def remove(self) -> None:
        """Deletes all the stream's files, what leads to the others first."""
        self._run = None
        for name in ("index.m3u8", STATE_FILE, ""):
            self._storage.delete(name)
        self._playlists.forget()
        self._state = self._new_state(self._state)

    def _publish(self, run: _Run, segmenter: Segmenter, item: ReadyPart | ClosedSegment) -> None:
        state = self._state
        rendition = state.rendition(segmenter.rendition.name)
        track, init = segmenter.track, segmenter.init
        if rendition is None or track is None or init is None:
            raise RuntimeError(f"{segmenter.rendition.name}: media before its init section")
        entry = rendition.entries[-1] if rendition.entries else None
        if entry is None or entry.msn != run.first_msn + item.index:
            entry = self._open(run, rendition, item, init)
        describe(rendition, track)
        if isinstance(item, ReadyPart):
            entry.independent = entry.independent and (item.part.independent or bool(entry.parts))
            entry.full = item.full
            self._writer.publish_part(state, rendition, entry, item.part, init)
        else:
            describe_rate(rendition, track, item, self._options.segment_seconds)
            end = run.base + math.ceil(item.start + item.duration) + 1
            state.next_base = max(state.next_base, end)
            entry.duration, entry.independent = float(item.duration), item.independent
            self._writer.close(state, rendition, entry, item.data, init)

    def _open(
        self, run: _Run, rendition: RenditionState, item: ReadyPart | ClosedSegment, init: bytes
    ) -> Entry:
        state = self._state
        msn = run.first_msn + item.index
        for other in state.renditions:
            # What has left the ladder goes on as gaps, so that its last viewers switch.
            if (other is rendition or not other.active) and fill(self._storage, state, other, msn):
                self._playlists.touch(other)
        entry = Entry(msn, wall_clock(run.started_at, item.start), 0.0, 0, 0)
        self._writer.open(state, rendition, entry, init)
        return entry

    def _flush(self) -> None:
        self._writer.flush(self._state)
        longest = max((len(item.entries) for item in self._state.renditions), default=0)
        if self._old_epochs and longest >= self._options.window_segments and self.playable:
            self._delete_old_epochs()

    def _list(self, renditions: Sequence[Rendition]) -> None:
        """Makes `renditions`, in their order, the active ones of the state."""
        state = self._state
        active = [state.rendition(item.name) or RenditionState(item.name, item.kind) for item in renditions]
        rest = [item for item in state.renditions if item not in active]
        for item in active:
            item.active = True
        for item in rest:
            item.active = False
        state.renditions = active + rest

    def _resume(self) -> StreamState:
        target = target_duration(self._options.segment_seconds)
        state = recover(self._storage, target, self._options.part_seconds)
        if state is None:
            return self._new_state(None)
        self._writer.settle(state)
        return state

    def _new_state(self, before: StreamState | None) -> StreamState:
        taken = {name for name in self._storage.directories() if is_epoch(name)}
        if before is not None:
            taken.add(before.epoch)
        epoch = new_epoch_name(datetime.now(UTC), taken=taken)
        target = target_duration(self._options.segment_seconds)
        return StreamState(epoch, target, self._options.part_seconds)

    def _delete_old_epochs(self) -> None:
        for name in self._storage.directories():
            if is_epoch(name) and name != self._state.epoch:
                self._storage.delete(name)
        self._old_epochs = False


def describe(rendition: RenditionState, track: Track) -> None:
    """Notes what the multivariant playlist says of the codec."""
    rendition.codecs = track.codecs
    rendition.width, rendition.height, rendition.channels = track.width, track.height, track.channels


def describe_rate(rendition: RenditionState, track: Track, segment: ClosedSegment, wanted: float) -> None:
    """Notes the frame rate, once in a run and from a segment of at least half the `wanted` seconds."""
    seconds = float(segment.duration)
    first = segment.index == 0 and seconds >= wanted / 2
    if track.kind == "video" and seconds > 0 and (first or not rendition.frame_rate):
        rendition.frame_rate = frame_rate(segment.samples, seconds)
