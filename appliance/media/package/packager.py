"""The packager: fragmented MP4 of all renditions in, encrypted HLS on disk out.

It is synchronous and does no more than a few milliseconds of work at a time, so that the session's event loop
calls it directly. An *epoch* is the life of a stream from its first picture to EXT-X-ENDLIST; a *run* is one
FFmpeg within it. Between runs there is a discontinuity; between epochs nothing is shared but the stream's
URL.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from appliance.media.alerts import Alerts
from appliance.media.package.catalogue import (
    STATE_FILE,
    RenditionState,
    StreamState,
    is_epoch,
    new_epoch_name,
)
from appliance.media.package.edge import LiveEdge
from appliance.media.package.key_schedule import KeySchedule
from appliance.media.package.muxing import published
from appliance.media.package.overview import overview
from appliance.media.package.playlist_writer import PlaylistWriter
from appliance.media.package.recovery import recover
from appliance.media.package.run import PackagingRun
from appliance.media.package.timeline import target_duration
from appliance.media.package.writer import StreamWriter
from appliance.media.storage import Storage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from appliance.media.package.options import PackagingOptions
    from appliance.media.package.rendition import Rendition
    from appliance.secrets.keyring import Keyring


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

    `alerts` tells what ails its storage; the session adds what ails the encoding.

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
        self.alerts = Alerts()
        self._storage = Storage(root / stream, self.alerts)
        self._keys = KeySchedule(
            stream, keyring if options.encryption == "aes-128" else None, options.rotation_seconds
        )
        self._playlists = PlaylistWriter(self._storage, stream, options, edge or LiveEdge())
        self._writer = StreamWriter(self._storage, self._playlists, self._keys)
        self._run: PackagingRun | None = None
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

    def overview(self) -> dict[str, Any]:
        """What has been published, in figures (`appliance.media.package.overview`)."""
        return overview(self._state)

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
        listed = published(renditions) if state.container == "mpegts" else renditions
        for item in listed:
            known = state.rendition(item.name)
            if known is not None and known.kind != item.kind:
                raise ValueError(f"rendition {item.name} was {known.kind} before in this epoch")
        if state.next_msn and state.next_msn not in state.breaks:
            state.breaks.append(state.next_msn)
        self._list(listed)
        self._run = PackagingRun(
            state,
            renditions,
            self._options,
            started_at=started_at,
            storage=self._storage,
            writer=self._writer,
        )

    def arrived(self, seconds: float, now: float) -> None:
        """The source's frame at `seconds` of the open run is here at `now` (unix seconds)."""
        if self._run is not None:
            self._run.arrivals.note(seconds, now)

    def feed(self, rendition: str, data: bytes) -> None:
        """Takes the next bytes of a rendition's pipe, cut anywhere; publishes the parts and segments they
        complete.

        Raises Mp4Error (a ValueError) when they are no fragmented MP4, hold an unknown codec or their
        times jump: end the run and begin another. Raises ValueError for a rendition that the run does not
        have.
        """
        if self._run is None or rendition not in self._run.names:
            raise ValueError(f"no run is open with a rendition {rendition!r}")
        self._run.feed(rendition, data)
        if self._old_epochs:
            self._delete_old_epochs()

    def end_run(self) -> None:
        """FFmpeg ended: complete fragments become the last, short segments, as many in every rendition.

        The segment that was open is published where all renditions have some of it, or viewers a part of it,
        and dropped otherwise; a rendition that lacks a published one gets a gap. Nothing happens when no run
        is open.
        """
        run, self._run = self._run, None
        if run is not None:
            run.end()

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
        options = self._options
        state = recover(self._storage, target, options.part_seconds, options.container)
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
        return StreamState(epoch, target, self._options.part_seconds, self._options.container)

    def _delete_old_epochs(self) -> None:
        """Deletes the epochs before this one, once it is shown and has filled up."""
        longest = max((len(item.entries) for item in self._state.renditions), default=0)
        if longest < self._options.window_segments or not self.playable:
            return
        for name in self._storage.directories():
            if is_epoch(name) and name != self._state.epoch:
                self._storage.delete(name)
        self._old_epochs = False
