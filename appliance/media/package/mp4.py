"""Fragmented MP4 from a byte stream: boxes as they arrive, cut at any byte.

What FFmpeg writes to a pipe is ``ftyp moov`` and then pairs of ``moof mdat`` (ISO/IEC 14496-12, 8.8).
`Splitter` takes the pieces a pipe delivers and gives the whole boxes; `track.read_track` and
`fragment.read_fragment` tell what is in them.
"""

from __future__ import annotations

import contextlib
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_BOX_BYTES: Final = 64 * 1024 * 1024
"""A larger box is taken for garbage: a fragment of ours lasts a quarter of a second."""


class Mp4Error(ValueError):
    """The bytes are not the fragmented MP4 that the packager understands; the message says why."""


@contextlib.contextmanager
def parsing(what: str) -> Iterator[None]:
    """What in the block reaches beyond its bytes, or does not fit into them, is an Mp4Error about `what`."""
    try:
        yield
    except (struct.error, IndexError) as error:
        raise Mp4Error(f"{what} is malformed: {error}") from None


@dataclass(frozen=True, slots=True)
class Box:
    """Where a box lies in a buffer: `start` of its header, `body` of its content, `end` behind it."""

    kind: bytes
    start: int
    body: int
    end: int


@dataclass(frozen=True, slots=True)
class InitSection:
    """Everything up to and including ``moov``: what EXT-X-MAP points to."""

    data: bytes


@dataclass(frozen=True, slots=True)
class RawFragment:
    """One ``moof`` with its ``mdat``; `prefix` holds what belongs in front of it (styp, prft, emsg)."""

    prefix: bytes
    moof: bytes
    mdat: bytes


def boxes(data: bytes, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """The boxes that lie side by side in ``data[start:end]``.

    Raises Mp4Error when one reaches beyond the end.
    """
    limit = len(data) if end is None else end
    while start < limit:
        box = _header(data, start, limit)
        if box is None or box.end > limit:
            raise Mp4Error(f"a box at byte {start} reaches beyond its parent's {limit} bytes")
        yield box
        start = box.end


def child(data: bytes, parent: Box, *path: bytes) -> Box:
    """The first box at `path` below `parent`. Raises Mp4Error naming the one that is missing."""
    for kind in path:
        found = next((box for box in boxes(data, parent.body, parent.end) if box.kind == kind), None)
        if found is None:
            raise Mp4Error(f"no {kind.decode('ascii')} in {parent.kind.decode('ascii', 'replace')}")
        parent = found
    return parent


class Splitter:
    """Cuts a byte stream into one `InitSection` and then `RawFragment`s."""

    # What may stand in front of a moof and travels with it (CMAF, ISO/IEC 23000-19, 7.3.2.3).
    _TRAVELS: Final = frozenset((b"styp", b"prft", b"emsg"))
    # What says nothing to a player of segments, or speaks of offsets in a file that does not exist.
    _DROPPED: Final = frozenset((b"sidx", b"free", b"skip", b"mfra"))

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._head = bytearray()
        self._moof: bytes | None = None
        self._has_init = False

    def feed(self, data: bytes) -> Iterator[InitSection | RawFragment]:
        """What became complete with `data`.

        Raises Mp4Error when the bytes cannot be such a stream; the splitter is of no use afterwards.
        """
        self._buffer += data
        while (box := _header(self._buffer, 0, len(self._buffer))) is not None:
            if box.end > MAX_BOX_BYTES:
                raise Mp4Error(f"a box {box.kind!r} of {box.end} bytes; at most {MAX_BOX_BYTES} are accepted")
            if box.end > len(self._buffer):
                return
            content = bytes(self._buffer[: box.end])
            del self._buffer[: box.end]
            if (item := self._take(box.kind, content)) is not None:
                yield item

    def _take(self, kind: bytes, content: bytes) -> InitSection | RawFragment | None:
        if self._moof is not None:
            if kind != b"mdat":
                raise Mp4Error(f"{kind!r} between a moof and its mdat")
            fragment = RawFragment(bytes(self._head), self._moof, content)
            self._head.clear()
            self._moof = None
            return fragment
        if not self._has_init:
            self._head += content
            if kind == b"moov":
                init = InitSection(bytes(self._head))
                self._head.clear()
                self._has_init = True
                return init
            if kind in (b"moof", b"mdat"):
                raise Mp4Error(f"{kind!r} before the moov")
        elif kind == b"moof":
            self._moof = content
        elif kind in self._TRAVELS:
            self._head += content
        elif kind not in self._DROPPED:
            raise Mp4Error(f"unexpected box {kind!r} between fragments")
        return None


def _header(data: bytes | bytearray, start: int, limit: int) -> Box | None:
    """The box whose header begins at `start`; None while the header is not complete."""
    if limit - start < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data, start)
    body = start + 8
    if size == 1:
        if limit - start < 16:
            return None
        (size,) = struct.unpack_from(">Q", data, body)
        body += 8
    if size < body - start:
        # Size 0, "to the end of the file", has no meaning on a pipe.
        raise Mp4Error(f"a box {kind!r} claims a size of {size} bytes")
    return Box(kind, start, body, start + size)
