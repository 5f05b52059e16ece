"""What NVIDIA's own tool tells of the GPUs; `nvidia-smi --help-query-gpu` explains the fields."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_MOST_DIGITS: Final = 4
"""Of an index."""


def query(fields: Iterable[str]) -> tuple[str, ...]:
    """The command that prints a line for each GPU: its index and `fields`; %, MiB and °C without units."""
    return ("nvidia-smi", f"--query-gpu={','.join(('index', *fields))}", "--format=csv,noheader,nounits")


def read_gpus(text: str, fields: Iterable[str]) -> dict[str, dict[str, str]]:
    """What that printed: by a GPU's index, its `fields` by name. What is no such line is left out."""
    names, found = tuple(fields), {}
    for line in text.splitlines():
        index, *values = (cell.strip() for cell in line.split(","))
        known = index.isascii() and index.isdigit() and len(index) <= _MOST_DIGITS
        if known and len(values) == len(names):
            found[index] = dict(zip(names, values, strict=True))
    return found


def figure(value: str) -> float | None:
    """A value that is a finite number; None where a GPU does not have it, `[N/A]`."""
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
