"""Just enough of a playlist to look at what a player would take from it next (RFC 8216bis)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Final
from urllib.parse import urljoin

_ATTRIBUTE: Final = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]+)')


_VARIANTS: Final = 32
"""More than any ladder has; each is asked for."""


class PlaylistError(ValueError):
    """The text is no such playlist; the message says what it lacks."""


@dataclass(frozen=True, slots=True)
class Variant:
    """EXT-X-STREAM-INF; `bandwidth` is bits a second."""

    url: str
    bandwidth: int


@dataclass(frozen=True, slots=True)
class Newest:
    """The newest whole segment of a media playlist that is there. `duration`: s, `starts_at`: unix seconds.

    `key_url` is None where it is not encrypted, `map_url` where it needs none.
    """

    url: str
    duration: float
    starts_at: float | None
    key_url: str | None
    iv: bytes
    map_url: str | None


@dataclass(frozen=True, slots=True)
class Media:
    """A media playlist. `longest`: s of its longest segment; `gaps`: how many segments are not there."""

    target: int
    ended: bool
    longest: float
    segments: int
    gaps: int
    newest: Newest | None


def _attributes(line: str) -> dict[str, str]:
    return {name: value.strip('"') for name, value in _ATTRIBUTE.findall(line.partition(":")[2])}


def read_variants(text: str, url: str) -> list[Variant]:
    """The variants of the multivariant playlist `text`, which was at `url`. Raises PlaylistError."""
    lines = [line.strip() for line in text.splitlines()]
    if not lines or lines[0] != "#EXTM3U":
        raise PlaylistError("no playlist: the first line is not #EXTM3U")
    found = []
    for line, following in pairwise(lines):
        if line.startswith("#EXT-X-STREAM-INF:"):
            bandwidth = _attributes(line).get("BANDWIDTH", "0")
            found.append(Variant(urljoin(url, following), int(bandwidth) if bandwidth.isdigit() else 0))
    if not found:
        raise PlaylistError("it lists no variant")
    if len(found) > _VARIANTS:
        raise PlaylistError(f"it lists {len(found)} variants; allowed are {_VARIANTS}")
    return found


def read_media(text: str, url: str) -> Media:
    """The media playlist `text`, which was at `url`. Raises PlaylistError."""
    target = re.search(r"^#EXT-X-TARGETDURATION:(\d+)", text, re.MULTILINE)
    if not text.startswith("#EXTM3U") or target is None:
        raise PlaylistError("no media playlist: #EXT-X-TARGETDURATION is missing")
    key: dict[str, str] = {}
    init: str | None = None
    duration, starts_at, gap = 0.0, None, False
    longest, segments, gaps = 0.0, 0, 0
    newest = None
    for line in map(str.strip, text.splitlines()):
        if line.startswith("#EXT-X-KEY:"):
            key = _attributes(line)
        elif line.startswith("#EXT-X-MAP:"):
            init = urljoin(url, _attributes(line).get("URI", ""))
        elif line.startswith("#EXTINF:"):
            duration = float(line.partition(":")[2].partition(",")[0])
        elif line.startswith("#EXT-X-PROGRAM-DATE-TIME:"):
            starts_at = datetime.fromisoformat(line.partition(":")[2]).timestamp()
        elif line == "#EXT-X-GAP":
            gap = True
        elif line and not line.startswith("#"):
            segments, gaps, longest = segments + 1, gaps + gap, max(longest, duration)
            if not gap:
                clear = key.get("METHOD", "NONE") == "NONE"
                newest = Newest(
                    urljoin(url, line),
                    duration,
                    starts_at,
                    None if clear else urljoin(url, key.get("URI", "")),
                    bytes.fromhex(key.get("IV", "0x")[2:]),
                    init,
                )
            gap, starts_at = False, None
    return Media(int(target[1]), "#EXT-X-ENDLIST" in text, longest, segments, gaps, newest)
