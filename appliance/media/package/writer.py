"""Puts parts, segments and playlists on disk, in an order that survives a crash or a full disk at any point.

State, then media, then playlist, then deletion: what a playlist lists is there, what is there is known,
and no name ever stands for two contents.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

from appliance.media.package.catalogue import STATE_FILE, Entry, Part, RenditionState, StreamState
from appliance.media.package.encryption import encrypt, new_iv
from appliance.media.package.listing import (
    init_file,
    part_file,
    parts_behind,
    segment_file,
)
from appliance.media.package.state_file import dump_state
from appliance.media.package.storage import RESERVE_BYTES, Storage, StorageError

if TYPE_CHECKING:
    from appliance.media.package.key_schedule import KeySchedule
    from appliance.media.package.parts import CutPart
    from appliance.media.package.playlist_writer import PlaylistWriter

log = logging.getLogger(__name__)

# A playlist never becomes shorter than three target durations (RFC 8216, 6.2.2); one entry is not listed yet.
_SHORTEST_WINDOW: Final = 4


class StreamWriter:
    """Writes one stream.

    Parameters
    ----------
    stream
        Its name, as in its directory and its keys.
    playlists
        Tells how many segments a playlist lists. As many again, and one, stay on disk behind it (RFC 8216,
        6.2.2: a segment stays as long as the longest playlist that listed it, and itself, last).
    """

    def __init__(self, storage: Storage, stream: str, playlists: PlaylistWriter, keys: KeySchedule) -> None:
        self._storage = storage
        self._stream = stream
        self._playlists = playlists
        self._window = playlists.window
        self._keys = keys
        # Names to delete once no playlist lists them, by rendition.
        self._doomed: dict[str, list[str]] = {}

    def open(self, state: StreamState, rendition: RenditionState, entry: Entry, init: bytes) -> None:
        """Adds `entry`, which plays after `init`, as the rendition's newest; nothing of it is there yet."""
        entry.open = True
        key = self._keys.key(state, entry.msn, entry.starts_at)
        if key is not None:
            entry.kid, entry.iv = key[0], new_iv().hex()
        entry.init = self._register(rendition, init)
        rendition.entries.append(entry)
        state.next_msn = max(state.next_msn, entry.msn + 1)

    def publish_part(
        self, state: StreamState, rendition: RenditionState, entry: Entry, part: CutPart, init: bytes
    ) -> None:
        """Adds `part` to the open `entry`. What cannot be written becomes a gap, and is logged."""
        data = part.data
        if data is not None:
            name = f"{state.epoch}/{rendition.name}/{part_file(entry.msn, len(entry.parts))}"
            try:
                if not entry.parts:
                    # From now on the number is taken, also for the next process.
                    self.save(state)
                self._write_init(state, rendition, entry, init)
                self._write_media(state, name, self._encrypted(state, entry, data))
            except StorageError as error:
                log.warning("%s: part lost: %s", self._stream, error)
                data = None
        entry.parts.append(Part(float(part.duration), part.independent, gap=data is None))
        self._playlists.touch(rendition)

    def close(
        self, state: StreamState, rendition: RenditionState, entry: Entry, clear: bytes, init: bytes
    ) -> None:
        """Publishes the open `entry` as a whole: `clear` are its bytes, its duration is set.

        What cannot be written becomes a gap, and is logged: the stream goes on.
        """
        data = self._encrypted(state, entry, clear)
        entry.size = len(data)
        folder = f"{state.epoch}/{rendition.name}"
        try:
            self.save(state)
            self._write_init(state, rendition, entry, init)
            self._write_media(state, f"{folder}/{segment_file(entry.msn)}", data)
        except StorageError as error:
            log.warning("%s: segment lost: %s", self._stream, error)
            entry.open, entry.gap, entry.size, entry.kid, entry.iv = False, True, 0, None, None
            self.try_save(state)
        else:
            entry.open = False
            rendition.measure(entry.size, entry.duration, state.target_duration)
        self._retire(state, rendition)
        self._playlists.touch(rendition)

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
            self._playlists.touch(rendition)
        self.flush(state)

    def save(self, state: StreamState) -> None:
        """Writes the state. Raises StorageError."""
        self._storage.write(STATE_FILE, dump_state(state))

    def try_save(self, state: StreamState) -> None:
        """Writes the state; it is logged when that fails."""
        try:
            self.save(state)
        except StorageError as error:
            log.warning("%s: not written: %s", self._stream, error)

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
        keep = 2 * self._window + 1
        retired, rendition.entries = rendition.entries[:-keep], rendition.entries[-keep:]
        doomed = self._doomed.setdefault(rendition.name, [])
        folder = f"{state.epoch}/{rendition.name}"
        doomed += [f"{folder}/{segment_file(entry.msn)}" for entry in retired if not entry.gap]
        for entry in [*retired, *parts_behind(state, rendition)]:
            doomed += part_names(folder, entry)
            entry.parts.clear()
        oldest = min(item.entries[0].msn for item in state.renditions if item.entries)
        past = [number for number in state.breaks if number < oldest]
        state.earlier_breaks += len(past)
        state.breaks = [number for number in state.breaks if number >= oldest]

    def _write_init(self, state: StreamState, rendition: RenditionState, entry: Entry, init: bytes) -> None:
        name = f"{state.epoch}/{rendition.name}/{init_file(entry.init)}"
        if not self._storage.size(name):
            self._write_media(state, name, init)

    def _write_media(self, state: StreamState, name: str, data: bytes) -> None:
        while True:
            try:
                self._storage.write(name, data, reserve=RESERVE_BYTES)
            except StorageError as error:
                if not error.full or not (self._clear_behind(state) or self._shorten(state)):
                    raise
            else:
                return

    def _clear_behind(self, state: StreamState) -> bool:
        """Deletes what no playlist lists any more; whether there was anything."""
        found = False
        for rendition in state.renditions:
            folder = f"{state.epoch}/{rendition.name}"
            # One more than the window: the newest entry is not listed yet.
            for entry in rendition.entries[: -self._window - 1]:
                for name in part_names(folder, entry):
                    self._storage.delete(name)
                entry.parts.clear()
                if not entry.gap:
                    self._storage.delete(f"{folder}/{segment_file(entry.msn)}")
                    entry.gap = found = True
        if found:
            log.warning("%s: the media root is nearly full; deleted what was behind the window", self._stream)
        return found

    def _shorten(self, state: StreamState) -> bool:
        """Takes the oldest segment out of all playlists and deletes it; whether one could be spared."""
        spare = [item for item in state.renditions if len(item.entries) > _SHORTEST_WINDOW]
        oldest = min((item.entries[0].msn for item in spare), default=None)
        if oldest is None:
            return False
        for rendition in spare:
            if rendition.entries[0].msn == oldest:
                gone = rendition.entries.pop(0)
                self._playlists.write(state, rendition)
                folder = f"{state.epoch}/{rendition.name}"
                for name in [f"{folder}/{segment_file(gone.msn)}", *part_names(folder, gone)]:
                    self._storage.delete(name)
        log.warning("%s: the media root is nearly full; segment %d was dropped early", self._stream, oldest)
        return True


def part_names(folder: str, entry: Entry) -> list[str]:
    """The names of the files of `entry`'s parts, which lie in `folder`."""
    numbers = (number for number, part in enumerate(entry.parts) if not part.gap)
    return [f"{folder}/{part_file(entry.msn, number)}" for number in numbers]
