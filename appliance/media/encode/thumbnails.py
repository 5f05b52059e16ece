"""A small picture of the stream every ten seconds, from the decode that the ladder has anyway."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Final

from appliance.media.storage import RESERVE_BYTES, StorageError

if TYPE_CHECKING:
    from appliance.media.storage import Storage

log = logging.getLogger(__name__)

THUMBNAIL: Final = "thumbnail.jpg"
"""The file in the stream's directory, and the output's name: no rung can be called so."""

THUMBNAIL_SECONDS: Final = 10.0

_END: Final = b"\xff\xd9"
_MOST_BYTES: Final = 4 * 1024 * 1024


class Thumbnails:
    """Takes FFmpeg's JPEGs, one behind the other, and keeps the newest in `storage`."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._pending = b""
        self._failed = False

    def feed(self, data: bytes) -> None:
        """Takes the next bytes, cut anywhere; what cannot be written is left out, and logged once."""
        # In a JPEG the marker stands at its end only: within the data each FF is followed by 00 or a restart
        # marker (ITU-T T.81, B.1.1.5).
        *pictures, self._pending = (self._pending + data).split(_END)
        if len(self._pending) > _MOST_BYTES:
            self._pending = b""
        if not pictures:
            return
        try:
            self._storage.write(THUMBNAIL, pictures[-1] + _END, reserve=RESERVE_BYTES)
        except StorageError as error:
            if not self._failed:
                log.warning("no thumbnail: %s", error)
            self._failed = True
        else:
            self._failed = False
