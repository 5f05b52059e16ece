"""``state.json``: a stream's state as bytes, and back again with nothing taken on trust.

What it holds becomes paths, URLs and arithmetic. A file that is not ours, or was damaged, is therefore
refused as a whole instead of failing somewhere later, at each start anew.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import fields
from itertools import pairwise
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final, TypeVar, get_args

from appliance.media.package.catalogue import EPOCH, Entry, RenditionState, StreamState
from appliance.media.package.rendition import RENDITION_NAME
from appliance.settings import Container

if TYPE_CHECKING:
    from collections.abc import Callable

_VERSION: Final = 3
_LARGEST: Final = 2**53
"""Beyond it JSON's numbers lose their last digits (RFC 8259, section 6)."""

_LATEST: Final = 253_402_300_799
"""The last second of the year 9999, which is as far as a playlist's dates go."""

_FORGOTTEN: Final = frozenset(("parts", "full", "known", "dumped", "delay"))
"""What of an entry, or of a rendition, stays in memory."""


T = TypeVar("T")


class StateError(ValueError):
    """The bytes are no state that a packager has written; the message says where."""


def dump_state(state: StreamState) -> bytes:
    """The file's content."""
    renditions = ",".join(
        _text(item, "entries", ",".join(_entry_text(entry) for entry in item.entries))
        for item in state.renditions
    )
    return _text(state, "renditions", renditions, version=_VERSION).encode()


def load_state(data: bytes) -> StreamState:
    """The state that `data` holds. Raises StateError when it is none that a packager has written."""
    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise StateError(f"no JSON: {error}") from None
    if not isinstance(document, dict) or document.pop("version", None) != _VERSION:
        raise StateError("another version")
    renditions = [_rendition(item) for item in _list(document, "renditions")]
    state = _made(StreamState, {**document, "renditions": renditions}, _STREAM)
    names = [item.name for item in renditions]
    if len(set(names)) != len(names):
        raise StateError("a rendition twice")
    return state


def _rendition(document: object) -> RenditionState:
    if not isinstance(document, dict):
        raise StateError("a rendition that is no mapping")
    entries = [_made(Entry, item, _ENTRY) for item in _list(document, "entries")]
    rendition = _made(RenditionState, {**document, "entries": entries}, _RENDITION)
    if any(later.msn != earlier.msn + 1 for earlier, later in pairwise(entries)):
        raise StateError(f"{rendition.name}: numbers with a hole")
    if any(entry.init >= len(rendition.inits) for entry in entries):
        raise StateError(f"{rendition.name}: an unknown init section")
    return rendition


def _list(document: dict[str, Any], name: str) -> list[Any]:
    value = document.get(name)
    if not isinstance(value, list):
        raise StateError(f"{name} is no list")
    return value


def _text(item: StreamState | RenditionState, name: str, elements: str, **others: int) -> str:
    """`item` as an object with `others` before its own members, and the list of `elements` as `name`."""
    own = {other: getattr(item, other) for other in _NAMES[type(item)] if other != name}
    return f'{_json({**others, **own})[:-1]},"{name}":[{elements}]}}'


def _entry_text(entry: Entry) -> str:
    """`entry` as an object; the text is kept, as all but the newest stay what they are for a while."""
    values = _entry_values(entry)
    if entry.dumped is None or entry.dumped[0] != values:
        entry.dumped = values, _json(dict(zip(_NAMES[Entry], values, strict=True)))
    return entry.dumped[1]


def _json(value: dict[str, Any]) -> str:
    return json.dumps(value, separators=(",", ":"))


_NAMES: Final[dict[Any, tuple[str, ...]]] = {
    kind: tuple(item.name for item in fields(kind) if item.name not in _FORGOTTEN)
    for kind in (StreamState, RenditionState, Entry)
}
_entry_values: Final = attrgetter(*_NAMES[Entry])


def _made(kind: type[T], document: object, checks: dict[str, Callable[[Any], bool]]) -> T:
    if not isinstance(document, dict) or document.keys() != set(_NAMES[kind]):
        raise StateError(f"no {kind.__name__}: other fields than {', '.join(_NAMES[kind])}")
    for name, check in checks.items():
        if not check(document[name]):
            raise StateError(f"{kind.__name__}: {name} is {document[name]!r:.60}")
    return kind(**document)


def _count(value: Any) -> bool:
    return type(value) is int and 0 <= value <= _LARGEST


def _amount(value: Any) -> bool:
    return type(value) in (int, float) and math.isfinite(value) and 0 <= value <= _LARGEST


def _time(value: Any) -> bool:
    return _amount(value) and value <= _LATEST


def _flag(value: Any) -> bool:
    return type(value) is bool


def _matches(pattern: str) -> Callable[[Any], bool]:
    compiled = re.compile(pattern)
    return lambda value: isinstance(value, str) and compiled.fullmatch(value) is not None


def _or_none(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or check(value)


def _all(check: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: isinstance(value, list) and all(check(item) for item in value)


_KID: Final = _or_none(_matches(r"[0-9A-Za-z_-]{1,128}"))
# What stands in a quoted attribute of a playlist: no quotes, no line ends (RFC 8216bis, 4.2).
_QUOTED: Final = _matches(r"[A-Za-z0-9.,]{0,64}")

_STREAM: Final[dict[str, Callable[[Any], bool]]] = {
    "epoch": _matches(EPOCH),
    "target_duration": lambda value: _count(value) and value > 0,
    "part_target": _amount,
    "container": lambda value: value in get_args(Container),
    "next_msn": _count,
    "next_base": _count,
    "breaks": _all(_count),
    "earlier_breaks": _count,
    "kid": _KID,
    "kid_since": _time,
    "finished": _flag,
}
_RENDITION: Final[dict[str, Callable[[Any], bool]]] = {
    "name": _matches(RENDITION_NAME),
    "kind": lambda value: value in ("video", "audio"),
    "codecs": _QUOTED,
    "width": _count,
    "height": _count,
    "channels": _count,
    "frame_rate": _amount,
    "peak": _amount,
    "total_bytes": _count,
    "total_seconds": _amount,
    "total_segments": _count,
    "lost_segments": _count,
    "newest_at": _time,
    "inits": _all(_matches("[0-9a-f]{64}")),
    "active": _flag,
}
_ENTRY: Final[dict[str, Callable[[Any], bool]]] = {
    "msn": _count,
    "starts_at": _time,
    "duration": _amount,
    "size": _count,
    "init": lambda value: type(value) is int and -1 <= value <= _LARGEST,
    "kid": _KID,
    "iv": _or_none(_matches("[0-9a-f]{32}")),
    "gap": _flag,
    "independent": _flag,
    "open": _flag,
}
