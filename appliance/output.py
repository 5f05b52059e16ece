"""Tables that lose nothing in a pipe, and times as people read them."""

from __future__ import annotations

from datetime import UTC, datetime

from rich.console import Console

PIPE_COLUMNS = 10_000
"""Width of a table that a program reads: wide enough that nothing is cut or folded."""


def console() -> Console:
    """Return standard output: as wide as the terminal, and without a limit anywhere else.

    What is printed stands there as it is: `:100:` in an IPv6 address is no emoji, `[x]` no markup.
    """
    out = Console(markup=False, emoji=False, highlight=False)
    return out if out.is_terminal else Console(width=PIPE_COLUMNS, markup=False, emoji=False, highlight=False)


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
