"""Puts parts, segments and playlists on disk, in an order that survives a crash or a full disk at any point.

State, then media, then playlist, then deletion: what a playlist lists is there, what is there is known,
and no name ever stands for two contents.
"""

from __future__ import annotations

import hashlib
import time
from typing import TYPE_CHECKING

from appliance.media.alerts import Alert
from appliance.media.package.catalogue import STATE_FILE, Entry, RenditionState, StreamState
from appliance.media.package.encryption import encrypt, new_iv
from appliance.media.package.listing import (
    init_file,
    kept_segments,
    listed_whole,
    part_file,
    parts_behind,
    segment_file,
)
from appliance.media.package.playlist import Part
from appliance.media.package.room import MediaRoom, part_names
from appliance.media.package.state_file import dump_state
from appliance.media.storage import Storage, StorageError

if TYPE_CHECKING:
    from appliance.media.package.key_schedule import KeySchedule
    from appliance.media.package.parts import CutPart
    from appliance.media.package.playlist_writer import PlaylistWriter


class StreamWriter:
    """Writes one stream.

    Parameters
    ----------
    storage
        Its directory.
    playlists
        Tells how many segments a playlist lists; `kept_segments` says how many stay on disk.
    keys
        Which content key each segment has.
    """

    def __init__(self, storage: Storage, playlists: PlaylistWriter, keys: KeySchedule) -> None:
        self._storage = storage
        self._playlists = playlists
        self._window = playlists.window
        self._keys = keys
        self._room = MediaRoom(storage, playlists)
        # Names to delete once no playlist lists them, by rendition.
        self._doomed: dict[str, list[str]] = {}

    def open(self, state: StreamState, rendition: RenditionState, entry: Entry, init: bytes | None) -> None:
        """Adds `entry`, which plays after `init` if it needs one, as the rendition's newest.

        Nothing of it is there yet.
        """
        entry.open = True
        key = self._keys.key(state, entry.msn, entry.starts_at)
        if key is not None:
            entry.kid, entry.iv = key[0], new_iv().hex()
        entry.init = -1 if init is None else self._register(rendition, init)
        rendition.entries.append(entry)
        self.touch(rendition)
        state.next_msn = max(state.next_msn, entry.msn + 1)

    def publish_part(
        self, state: StreamState, rendition: RenditionState, entry: Entry, part: CutPart, init: bytes | None
    ) -> None:
        """Adds `part` to the open `entry`. What cannot be written becomes a gap and an alert."""
        data = part.data
        if data is not None:
            name = f"{state.epoch}/{rendition.name}/{part_file(entry.msn, len(entry.parts))}"
            try:
                if not entry.known:
                    # From now on the number is taken, also for the next process.
                    self.save(state)
                    self._write_init(state, rendition, entry, init)
                    entry.known = True
                encrypted = self._encrypted(state, entry, data)
                self._room.write(state, name, encrypted)
                entry.size += len(encrypted)
            except StorageError as error:
                self._storage.alerts.note(Alert.WRITE_FAILED, f"part lost: {error}")
                data = None
        uri = part_file(entry.msn, len(entry.parts))
        entry.parts.append(Part(uri, float(part.duration), part.independent, gap=data is None))
        if data is not None:
            rendition.parts += 1
        self._playlists.touch(rendition)

    def close(
        self, state: StreamState, rendition: RenditionState, entry: Entry, clear: bytes, init: bytes | None
    ) -> None:
        """Publishes the open `entry` as a whole: `clear` are its bytes, its duration is set.

        What cannot be written becomes a gap and an alert: the stream goes on.
        """
        data = self._encrypted(state, entry, clear)
        entry.size = len(data)
        folder = f"{state.epoch}/{rendition.name}"
        try:
            self.save(state)
            self._write_init(state, rendition, entry, init)
            self._room.write(state, f"{folder}/{segment_file(state, entry.msn)}", data)
        except StorageError as error:
            self._storage.alerts.note(Alert.WRITE_FAILED, f"segment lost: {error}")
            entry.lose()
            rendition.lost_segments += 1
            self.try_save(state)
        else:
            entry.open = False
            rendition.measure(entry.size, entry.duration, state.target_duration, at=time.time())
        self._retire(state, rendition)
        self.touch(rendition)

    def touch(self, rendition: RenditionState) -> None:
        """Segments of the rendition have changed: its playlist has to be written at the next `flush`."""
        self._playlists.touch(rendition, segments=True)

    def flush(self, state: StreamState) -> None:
        """Writes the playlists of what was published since, then deletes what has left them."""
        self._playlists.flush(state)
        for names in self._doomed.values():
            for name in names:
                self._storage.delete(name)
        self._doomed.clear()

    def settle(self, state: StreamState) -> None:
        """Brings everything on disk up to the state."""
        self.try_save(state)
        for rendition in state.renditions:
            self.touch(rendition)
        self.flush(state)

    def save(self, state: StreamState) -> None:
        """Writes the state. Raises StorageError."""
        self._storage.write(STATE_FILE, dump_state(state))

    def try_save(self, state: StreamState) -> None:
        """Writes the state; an alert tells when that fails."""
        try:
            self.save(state)
        except StorageError as error:
            self._storage.alerts.note(Alert.WRITE_FAILED, f"not written: {error}")

    def _encrypted(self, state: StreamState, entry: Entry, clear: bytes) -> bytes:
        key = self._keys.key(state, entry.msn, entry.starts_at)
        if key is None or entry.iv is None:
            return clear
        return encrypt(clear, key[1], bytes.fromhex(entry.iv))

    def _register(self, rendition: RenditionState, init: bytes) -> int:
        """The number of `init`; the same bytes keep their number."""
        digest = hashlib.sha256(init).hexdigest()
        if digest not in rendition.inits:
            rendition.inits.append(digest)
        return rendition.inits.index(digest)

    def _retire(self, state: StreamState, rendition: RenditionState) -> None:
        """Notes the names of what has left the playlist for long enough."""
        keep = kept_segments(len(listed_whole(state, rendition, self._window)))
        retired, rendition.entries = rendition.entries[:-keep], rendition.entries[-keep:]
        doomed = self._doomed.setdefault(rendition.name, [])
        folder = f"{state.epoch}/{rendition.name}"
        doomed += [f"{folder}/{segment_file(state, entry.msn)}" for entry in retired if not entry.gap]
        for entry in [*retired, *parts_behind(state, rendition)]:
            doomed += part_names(folder, entry)
            entry.parts.clear()
        oldest = min(item.entries[0].msn for item in state.renditions if item.entries)
        past = [number for number in state.breaks if number < oldest]
        state.earlier_breaks += len(past)
        state.breaks = [number for number in state.breaks if number >= oldest]

    def _write_init(
        self, state: StreamState, rendition: RenditionState, entry: Entry, init: bytes | None
    ) -> None:
        name = f"{state.epoch}/{rendition.name}/{init_file(entry.init)}"
        if init is not None and not self._storage.size(name):
            self._room.write(state, name, init)
