"""Files of keys as JSON: reading them, and refusing what is none without showing any of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, TypeVar

from appliance.secrets.moment import moment
from appliance.secrets.refused import malformed, missing

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from pathlib import Path

T = TypeVar("T")


class MalformedKeysError(ValueError):
    """The text is no such file; the message says why and holds no secret."""


def load(path: Path, parse: Callable[[str], T], *, what: str) -> T:
    """What `parse` makes of the file `path`; `what` names the file in a refusal.

    Raises OperatorError (EX_CONFIG) when it cannot be read or `parse` raises ValueError.
    """
    try:
        return parse(path.read_text(encoding="ascii"))
    except OSError as error:
        raise missing(path, f"cannot be read: {error.strerror}", what=what) from None
    except UnicodeError:  # a ValueError that quotes the file
        reason = "not ASCII text"
    except ValueError as error:
        reason = str(error)
    raise malformed(path, reason, what=what)


def parse_object(text: str, entries: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """The JSON object `text`, and the one that stands in it under `entries`. Raises MalformedKeysError."""
    try:
        data: Any = json.loads(text)
    except json.JSONDecodeError as error:
        raise MalformedKeysError(f"not JSON (line {error.lineno})") from None
    except (ValueError, RecursionError):  # a number of thousands of digits; brackets without end
        raise MalformedKeysError("not JSON that can be read") from None
    if not isinstance(data, dict) or not isinstance(data.get(entries), dict):
        raise MalformedKeysError(f'no object with "current" and "{entries}"')
    return data, data[entries]


def parse_entry(entry: object, whose: str) -> dict[str, Any]:
    """`entry` when it is an object. Raises MalformedKeysError, which names `whose` it is."""
    if not isinstance(entry, dict):
        raise MalformedKeysError(f"{whose} is not an object")
    return entry


def parse_time(entry: dict[str, Any], name: str, whose: str) -> datetime:
    """The time under `name`. Raises MalformedKeysError when it is none, or missing."""
    found = moment(entry.get(name))
    if found is None:
        raise MalformedKeysError(f'"{name}" of {whose} is not an ISO 8601 time with its zone')
    return found


def parse_optional_time(entry: dict[str, Any], name: str, whose: str) -> datetime | None:
    """The time under `name`, None when nothing stands there. Raises MalformedKeysError."""
    return None if entry.get(name) is None else parse_time(entry, name, whose)
