"""JSON of strangers: an object that is no deeper than whoever prints it can go."""

from __future__ import annotations

import json
from typing import Any, Final

DEEPEST: Final = 32
"""Lists and objects within one another: several times as many as anything of ours has. What Python just reads
may be too deep for it to write."""


def read_object(text: str) -> dict[str, Any]:
    """The object that `text` is; NaN and Infinity, which are no JSON (RFC 8259, section 6), as null.

    Raises ValueError.
    """
    try:
        found = json.loads(text, parse_constant=lambda _: None)
    except RecursionError:
        raise ValueError("brackets without end") from None
    if not isinstance(found, dict):
        raise ValueError("no object")  # noqa: TRY004 - it is what a stranger wrote, no argument
    inside: list[Any] = [found]
    for _ in range(DEEPEST):
        lists = [one for one in inside if isinstance(one, list)]
        objects = [one for one in inside if isinstance(one, dict)]
        inside = [each for one in lists for each in one] + [each for one in objects for each in one.values()]
    if any(isinstance(one, list | dict) for one in inside):
        raise ValueError(f"deeper than {DEEPEST}")
    return found
