"""Playlists on disk and at the live edge: what changed is written once, however much of it changed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.media.alerts import Alert
from appliance.media.package.listing import (
    PLAYLIST_FILE,
    is_presentable,
    listed,
    media_playlist,
    multivariant_playlist,
)
from appliance.media.package.multivariant import render_multivariant
from appliance.media.package.playlist import render_media
from appliance.media.storage import Storage, StorageError

if TYPE_CHECKING:
    from appliance.media.package.catalogue import RenditionState, StreamState
    from appliance.media.package.edge import LiveEdge
    from appliance.media.package.options import PackagingOptions


class PlaylistWriter:
    """Writes the playlists of one stream.

    Parameters
    ----------
    options
        Tells how many whole segments a playlist lists, and whether the sound is a variant of its own.
    edge
        Gets every playlist that is written, for those who wait for it.
    """

    def __init__(self, storage: Storage, stream: str, options: PackagingOptions, edge: LiveEdge) -> None:
        self.window = options.window_segments
        self._audio_only = options.audio_only_variant
        self._storage = storage
        self._stream = stream
        self._edge = edge
        self._touched: dict[str, RenditionState] = {}
        self._segments_touched = False
        self._multivariant: bytes | None = storage.read(PLAYLIST_FILE)

    def touch(self, rendition: RenditionState, *, segments: bool = False) -> None:
        """The rendition's playlist has to be written at the next `flush`.

        `segments` tells that more has changed than the parts of one: the multivariant playlist may, too.
        """
        self._touched[rendition.name] = rendition
        self._segments_touched = self._segments_touched or segments or not rendition.total_seconds

    def flush(self, state: StreamState) -> None:
        """Writes what was touched, and the multivariant playlist where that changes it."""
        touched, self._touched = self._touched, {}
        for rendition in touched.values():
            self.write(state, rendition)
        if touched and (self._segments_touched or not self.shows(state)):
            self._segments_touched = not self._write_multivariant(state)

    def write(self, state: StreamState, rendition: RenditionState) -> None:
        """Writes the rendition's playlist, unless it never had media."""
        entries = listed(state, rendition, self.window)
        name = f"{state.epoch}/{rendition.name}/{PLAYLIST_FILE}"
        # One that is there lists the parts of a process that was killed before its first whole segment.
        if not entries or not (rendition.has_media or self._storage.size(name)):
            return
        playlist = media_playlist(state, rendition, entries)
        text = render_media(playlist).encode()
        self._try_write(name, text)
        self._edge.publish(state.epoch, rendition.name, playlist, text)

    def shows(self, state: StreamState) -> bool:
        """Whether the multivariant playlist on disk is of the state's epoch."""
        return self._multivariant is not None and f"/{state.epoch}/".encode() in self._multivariant

    def forget(self) -> None:
        """The files are gone."""
        self._multivariant = None
        self._touched.clear()
        self._segments_touched = False
        self._edge.clear()

    def _write_multivariant(self, state: StreamState) -> bool:
        """Writes the multivariant playlist when it changed and the epoch has something to show.

        Returns whether what is on disk is what should be.

        Until then that of the epoch before stays: its viewers find their way out of it by EXT-X-ENDLIST.
        """
        if not self.shows(state) and not is_presentable(state):
            return True
        playlist = multivariant_playlist(self._stream, state, audio_only=self._audio_only)
        data = render_multivariant(playlist).encode()
        if not playlist.variants or data == self._multivariant:
            return True
        if not self._try_write(PLAYLIST_FILE, data):
            return False
        self._multivariant = data
        return True

    def _try_write(self, name: str, data: bytes) -> bool:
        try:
            self._storage.write(name, data)
        except StorageError as error:
            self._storage.alerts.note(Alert.WRITE_FAILED, f"not written: {error}")
            return False
        return True
