"""Room for media on a file system that is nearly full: what nobody needs goes first, the oldest next."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.media.alerts import Alert
from appliance.media.package.listing import lasts, listed_whole, part_file, parts_behind, segment_file
from appliance.media.storage import RESERVE_BYTES, Storage, StorageError

if TYPE_CHECKING:
    from appliance.media.package.catalogue import Entry, RenditionState, StreamState
    from appliance.media.package.playlist_writer import PlaylistWriter

# Parts of the newest whole segment and of the one that is open: what a player at the live edge asks for.
_NEWEST_PARTS: Final = 2


class MediaRoom:
    """Writes media of one stream, and makes room for it where there is none."""

    def __init__(self, storage: Storage, playlists: PlaylistWriter) -> None:
        self._storage = storage
        self._playlists = playlists

    def write(self, state: StreamState, name: str, data: bytes) -> None:
        """Puts `data` at `name`. Raises StorageError when it fails, or nothing can be spared for it."""
        while True:
            try:
                self._storage.write(name, data, reserve=RESERVE_BYTES)
            except StorageError as error:
                steps = (self._clear_behind, self._drop_parts, self._shorten)
                if not error.full or not any(step(state) for step in steps):
                    raise
            else:
                return

    def _clear_behind(self, state: StreamState) -> bool:
        """Deletes what no playlist lists any more; whether there was anything."""
        found = False
        for rendition in state.renditions:
            for entry in parts_behind(state, rendition, kept=False):
                found = self._delete_parts(state, rendition, entry) or found
            # One more than is listed: the newest entry is not yet.
            count = len(listed_whole(state, rendition, self._playlists.window))
            for entry in rendition.entries[: -count - 1]:
                found = self._delete_parts(state, rendition, entry) or found
                if not entry.gap:
                    self._storage.delete(f"{state.epoch}/{rendition.name}/{segment_file(state, entry.msn)}")
                    entry.lose()
                    found = True
        if found:
            self._storage.alerts.note(Alert.STORAGE_FULL, "deleted what is no longer listed")
        return found

    def _drop_parts(self, state: StreamState) -> bool:
        """Takes the oldest parts that are listed out of their playlist; whether they could be spared."""
        for rendition in state.renditions:
            for entry in rendition.entries[:-_NEWEST_PARTS]:
                if entry.parts:
                    names = part_names(f"{state.epoch}/{rendition.name}", entry)
                    entry.parts.clear()
                    self._playlists.write(state, rendition)
                    for name in names:
                        self._storage.delete(name)
                    self._storage.alerts.note(Alert.STORAGE_FULL, f"parts of segment {entry.msn} went early")
                    return True
        return False

    def _shorten(self, state: StreamState) -> bool:
        """Takes the oldest segment out of all playlists and deletes it; whether one could be spared."""
        spare = [item for item in state.renditions if lasts(state, item.entries[1:-1])]
        oldest = min((item.entries[0].msn for item in spare), default=None)
        if oldest is None:
            return False
        for rendition in spare:
            if rendition.entries[0].msn == oldest:
                gone = rendition.entries.pop(0)
                self._playlists.write(state, rendition)
                self._storage.delete(f"{state.epoch}/{rendition.name}/{segment_file(state, gone.msn)}")
                self._delete_parts(state, rendition, gone)
        self._storage.alerts.note(Alert.STORAGE_FULL, f"segment {oldest} was dropped early")
        return True

    def _delete_parts(self, state: StreamState, rendition: RenditionState, entry: Entry) -> bool:
        names = part_names(f"{state.epoch}/{rendition.name}", entry)
        entry.parts.clear()
        for name in names:
            self._storage.delete(name)
        return bool(names)


def part_names(folder: str, entry: Entry) -> list[str]:
    """The names of the files of `entry`'s parts, which lie in `folder`."""
    numbers = (number for number, part in enumerate(entry.parts) if not part.gap)
    return [f"{folder}/{part_file(entry.msn, number)}" for number in numbers]
