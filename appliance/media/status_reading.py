"""Reading `status.json` as somebody else: any field of it may be missing, broken or old."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.media.plain_file import read_plain
from appliance.media.status import STATUS_FILE
from appliance.names import StreamName, is_stream_name
from appliance.printable import visible

if TYPE_CHECKING:
    from pathlib import Path

FRESH_S: Final = 5.0
"""A stream's process writes its status twice a second. One that is older was left by a process that is gone
or hangs; a busy machine is late by less."""

_LARGEST: Final = 256 * 1024
"""Bytes: a hundred times as many as a status has, and few enough to be read with every scrape."""


@dataclass(frozen=True, slots=True)
class Reading:
    """An object of a status: each method follows `keys` into it, and returns None for what is not there.

    What is there and of the wrong kind counts as not there.
    """

    content: dict[str, Any]

    def text(self, *keys: str) -> str | None:
        """A text that is not empty; what no terminal should get is replaced by question marks."""
        found = self._find(keys)
        return visible(found) if isinstance(found, str) and found else None

    def number(self, *keys: str) -> float | None:
        """A finite number."""
        found = self._find(keys)
        if isinstance(found, bool) or not isinstance(found, int | float):
            return None
        try:
            return float(found) if math.isfinite(found) else None
        except OverflowError:
            return None

    def flag(self, *keys: str) -> bool:
        """Whether there is `true`."""
        return self._find(keys) is True

    def time(self, *keys: str) -> float | None:
        """An ISO 8601 time, as unix seconds."""
        try:
            return datetime.fromisoformat(self.text(*keys) or "").timestamp()
        except (ValueError, OverflowError):
            return None

    def items(self, *keys: str) -> list[Reading]:
        """The objects of a list."""
        found = self._find(keys)
        return [Reading(item) for item in found if isinstance(item, dict)] if isinstance(found, list) else []

    def age(self, now: float, *keys: str) -> float | None:
        """Seconds from an ISO 8601 time to `now` (unix seconds); 0 when it lies ahead."""
        found = self.time(*keys)
        return None if found is None else max(0.0, now - found)

    def fresh(self, now: float) -> bool:
        """Whether the stream's process lived a moment before `now` (unix seconds)."""
        written = self.time("updated")
        # One from the future is left over too, by a process that was gone before the clock was set back.
        return written is not None and abs(now - written) <= FRESH_S

    def _find(self, keys: tuple[str, ...]) -> Any:
        found: Any = self.content
        for key in keys:
            found = found.get(key) if isinstance(found, dict) else None
        return found


def read_status(directory: Path) -> Reading | None:
    """What the process of the stream with that directory wrote last; None where there is nothing of it."""
    try:
        data = read_plain(directory / STATUS_FILE, largest=_LARGEST) or b"null"
        # NaN and Infinity are no JSON (RFC 8259, section 6).
        content = json.loads(data, parse_constant=lambda _: None)
    except (ValueError, RecursionError):
        return None
    return Reading(content) if isinstance(content, dict) else None


def streams_on_disk(root: Path) -> list[StreamName]:
    """The streams with a directory below the media root, by name. Raises PermissionError."""
    if not root.is_dir():
        return []
    return sorted(
        StreamName(path.name) for path in root.iterdir() if is_stream_name(path.name) and path.is_dir()
    )
