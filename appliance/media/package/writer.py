"""Puts segments and playlists on disk, in an order that survives a crash or a full disk at any point.

State, then media, then playlist, then deletion: what a playlist lists is there, what is there is known,
and no name ever stands for two contents.
"""

from __future__ import annotations

import hashlib
import logging
from typing import TYPE_CHECKING, Final

from appliance.media.package.catalogue import STATE_FILE, Entry, RenditionState, StreamState
from appliance.media.package.encryption import encrypt, new_iv
from appliance.media.package.listing import (
    PLAYLIST_FILE,
    init_file,
    is_presentable,
    media_playlist,
    multivariant_playlist,
    segment_file,
)
from appliance.media.package.playlist import render_media, render_multivariant
from appliance.media.package.state_file import dump_state
from appliance.media.package.storage import RESERVE_BYTES, Storage, StorageError

if TYPE_CHECKING:
    from appliance.media.package.key_schedule import KeySchedule

log = logging.getLogger(__name__)

# A playlist never becomes shorter than three target durations (RFC 8216, 6.2.2); one entry is not listed yet.
_SHORTEST_WINDOW: Final = 4


class StreamWriter:
    """Writes one stream.

    Parameters
    ----------
    stream
        Its name, as in its directory and its keys.
    window_segments
        How many segments a playlist lists. As many again, and one, stay on disk behind it (RFC 8216, 6.2.2: a
        segment stays as long as the longest playlist that listed it, and itself, last).
    """

    def __init__(self, storage: Storage, stream: str, window_segments: int, keys: KeySchedule) -> None:
        self._storage = storage
        self._stream = stream
        self._window = window_segments
        self._keys = keys
        self._multivariant: bytes | None = storage.read(PLAYLIST_FILE)
        self._pending: Entry | None = None

    def save(self, state: StreamState) -> None:
        """Writes the state. Raises StorageError."""
        self._storage.write(STATE_FILE, dump_state(state))

    def publish(
        self, state: StreamState, rendition: RenditionState, entry: Entry, clear: bytes, init: bytes
    ) -> None:
        """Adds `entry`, whose clear bytes are `clear` after `init`, behind the rendition's newest.

        What cannot be written becomes a gap, and is logged: the stream goes on.
        """
        key = self._keys.key(state, entry.msn, entry.starts_at)
        data = clear
        if key is not None:
            iv = new_iv()
            entry.kid, entry.iv = key[0], iv.hex()
            data = encrypt(clear, key[1], iv)
        entry.size = len(data)
        entry.init = self._register(rendition, init)
        retired = self._append(state, rendition, entry)
        folder = f"{state.epoch}/{rendition.name}"
        self._pending = entry
        try:
            self.save(state)
            if not self._storage.size(f"{folder}/{init_file(entry.init)}"):
                self._write_media(state, f"{folder}/{init_file(entry.init)}", init)
            self._write_media(state, f"{folder}/{segment_file(entry.msn)}", data)
        except StorageError as error:
            log.warning("%s: segment lost: %s", self._stream, error)
            entry.gap, entry.size, entry.kid, entry.iv = True, 0, None, None
            self._try_save(state)
        else:
            rendition.measure(entry.size, entry.duration, state.target_duration)
        self._pending = None
        self.write_playlist(state, rendition)
        self._delete(folder, retired)
        self.write_multivariant(state)

    def settle(self, state: StreamState) -> None:
        """Brings everything on disk up to the state."""
        self._try_save(state)
        for rendition in state.renditions:
            self.write_playlist(state, rendition)
        self.write_multivariant(state)

    def write_playlist(self, state: StreamState, rendition: RenditionState) -> None:
        """Writes the rendition's playlist, unless it never had media."""
        listed = [entry for entry in rendition.entries if entry is not self._pending][-self._window :]
        if not rendition.has_media or not listed:
            return
        text = render_media(media_playlist(state, listed))
        self._try_write(f"{state.epoch}/{rendition.name}/{PLAYLIST_FILE}", text.encode())

    def write_multivariant(self, state: StreamState) -> None:
        """Writes the multivariant playlist when it changed and the epoch has something to show.

        Until then that of the epoch before stays: its viewers find their way out of it by EXT-X-ENDLIST.
        """
        if not self.shows(state) and not is_presentable(state):
            return
        playlist = multivariant_playlist(self._stream, state)
        data = render_multivariant(playlist).encode()
        if playlist.variants and data != self._multivariant and self._try_write(PLAYLIST_FILE, data):
            self._multivariant = data

    def shows(self, state: StreamState) -> bool:
        """Whether the multivariant playlist on disk is of the state's epoch."""
        return self._multivariant is not None and f"/{state.epoch}/".encode() in self._multivariant

    def forget(self) -> None:
        """The files are gone."""
        self._multivariant = None

    def _register(self, rendition: RenditionState, init: bytes) -> int:
        """The number of `init`; the same bytes keep their number."""
        digest = hashlib.sha256(init).hexdigest()
        if digest not in rendition.inits:
            rendition.inits.append(digest)
        return rendition.inits.index(digest)

    def _append(self, state: StreamState, rendition: RenditionState, entry: Entry) -> list[Entry]:
        """Adds `entry`; returns those that have now left the window for long enough."""
        rendition.entries.append(entry)
        state.next_msn = max(state.next_msn, entry.msn + 1)
        keep = 2 * self._window + 1
        retired, rendition.entries = rendition.entries[:-keep], rendition.entries[-keep:]
        oldest = min(item.entries[0].msn for item in state.renditions if item.entries)
        past = [number for number in state.breaks if number < oldest]
        state.earlier_breaks += len(past)
        state.breaks = [number for number in state.breaks if number >= oldest]
        return retired

    def _delete(self, folder: str, entries: list[Entry]) -> None:
        for entry in entries:
            if not entry.gap:
                self._storage.delete(f"{folder}/{segment_file(entry.msn)}")

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
            # One more than the window: the newest entry is not listed yet.
            for entry in rendition.entries[: -self._window - 1]:
                if not entry.gap:
                    self._storage.delete(f"{state.epoch}/{rendition.name}/{segment_file(entry.msn)}")
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
                self.write_playlist(state, rendition)
                self._delete(f"{state.epoch}/{rendition.name}", [gone])
        log.warning("%s: the media root is nearly full; segment %d was dropped early", self._stream, oldest)
        return True

    def _try_save(self, state: StreamState) -> None:
        self._try_write(STATE_FILE, dump_state(state))

    def _try_write(self, name: str, data: bytes) -> bool:
        try:
            self._storage.write(name, data)
        except StorageError as error:
            log.warning("%s: not written: %s", self._stream, error)
            return False
        return True
