"""What is asked for: a playlist with its delivery directives (RFC 8216bis, 6.2.5), or a part."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from appliance.media.package.catalogue import EPOCH
from appliance.media.package.rendition import RENDITION_NAME

_NUMBER: Final = "0|[1-9][0-9]{0,14}"
_PLAYLIST: Final = re.compile(rf"/({EPOCH})/({RENDITION_NAME})/index\.m3u8")
_PART: Final = re.compile(rf"/({EPOCH})/({RENDITION_NAME})/({_NUMBER})\.({_NUMBER})\.m4s")
_DIRECTIVES: Final = frozenset(("_HLS_msn", "_HLS_part", "_HLS_skip"))


class InvalidDirectiveError(ValueError):
    """A delivery directive that is malformed, repeated, or lacks another."""


@dataclass(frozen=True, slots=True)
class PlaylistRequest:
    """`msn` and `part` are what the playlist shall hold; None where the request does not say."""

    epoch: str
    rendition: str
    msn: int | None
    part: int | None
    skip: bool


@dataclass(frozen=True, slots=True)
class PartRequest:
    """Part `part` of segment `msn`."""

    epoch: str
    rendition: str
    msn: int
    part: int


def parse_target(target: str) -> PlaylistRequest | PartRequest | None:
    """What the path and query `target` ask for; None when it is nothing of ours.

    Raises InvalidDirectiveError where an answer has to be 400 (6.2.5.2).
    """
    path, _, query = target.partition("?")
    if (match := _PLAYLIST.fullmatch(path)) is not None:
        directives = _directives(query)
        msn, part = (_number(directives, name) for name in ("_HLS_msn", "_HLS_part"))
        if part is not None and msn is None:
            raise InvalidDirectiveError("_HLS_part without _HLS_msn")
        # `v2` asks for date ranges to be left out as well, and there are none (6.2.5.1).
        skip = directives.get("_HLS_skip") in ("YES", "v2")
        return PlaylistRequest(match[1], match[2], msn, part, skip)
    if (match := _PART.fullmatch(path)) is not None:
        return PartRequest(match[1], match[2], int(match[3]), int(match[4]))
    return None


def _directives(query: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if name in _DIRECTIVES and found.setdefault(name, value) != value:
            raise InvalidDirectiveError(f"{name} twice")
    return found


def _number(directives: dict[str, str], name: str) -> int | None:
    value = directives.get(name)
    if value is None:
        return None
    if re.fullmatch(_NUMBER, value) is None:
        raise InvalidDirectiveError(f"{name} is no number")
    return int(value)
