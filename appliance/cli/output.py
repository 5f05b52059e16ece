"""Tables that lose nothing in a pipe."""

from __future__ import annotations

from rich.console import Console

PIPE_COLUMNS = 10_000
"""Width of a table that a program reads: wide enough that nothing is cut or folded."""


def console() -> Console:
    """Return standard output: as wide as the terminal, and without a limit anywhere else."""
    out = Console()
    return out if out.is_terminal else Console(width=PIPE_COLUMNS)
