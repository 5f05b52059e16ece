"""Tables that lose nothing in a pipe, and times as people read them."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable

PIPE_COLUMNS = 10_000
"""Width of a table that a program reads: wide enough that nothing is cut or folded."""

PAGE_COLUMNS = 100
"""Width of long texts where nobody says how wide a line may be."""

_LEAST = 40
"""Columns below which texts cannot be read."""


def console() -> Console:
    """Return standard output: as wide as the terminal, and without a limit anywhere else.

    What is printed stands there as it is: `:100:` in an IPv6 address is no emoji, `[x]` no markup.
    """
    out = Console(markup=False, emoji=False, highlight=False)
    return out if out.is_terminal else Console(width=PIPE_COLUMNS, markup=False, emoji=False, highlight=False)


def folding_table(*headings: str, title: str | None = None) -> Table:
    """Return a table without rows, whose texts are folded, not cut, where there is no room for them."""
    table = Table(title=title, title_justify="left")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table


def page() -> Console:
    """Return standard output for long texts, which are folded between words.

    As wide as the terminal; in a pipe as COLUMNS says, or 100. No line is for a program to read: for those
    there is --json.
    """
    out = console()
    if out.is_terminal:
        return out
    wanted = os.environ.get("COLUMNS", "")
    width = int(wanted) if wanted.isascii() and wanted.isdigit() and int(wanted) >= _LEAST else PAGE_COLUMNS
    return Console(width=width, markup=False, emoji=False, highlight=False)


def print_block(out: Console, rows: Iterable[tuple[str, str]]) -> None:
    """Print texts below each other, indented, each behind its name in a column of its own."""
    block = Table.grid(padding=(0, 2))
    block.add_column(no_wrap=True, style="dim")
    block.add_column(overflow="fold")
    for name, text in rows:
        block.add_row(f"  {name}", Text(text))
    out.print(block)


def short_time(text: str) -> str:
    """Return an ISO 8601 time as a terminal has room for it, in UTC; what is no time stays as it is.

    Today's is given without the date, this year's without the year.
    """
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    now = datetime.now(UTC)
    if time.date() == now.date():
        return f"{time:%H:%M:%SZ}"
    return f"{time:%m-%d %H:%MZ}" if time.year == now.year else f"{time:%Y-%m-%d}"


def span(seconds: float) -> str:
    """Return a length of time in the unit that tells enough: `0.4 s`, `42 s`, `5 min`, `3 h`, `2 d`."""
    for unit, length, least in (("d", 86_400, 2), ("h", 3600, 2), ("min", 60, 2)):
        if seconds >= least * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
