"""How far the hosts are: a table that lives on a terminal, a line for each that is done in a pipe."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING, Final

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self

_REDRAWN_S: Final = 0.2


class Lines:
    """For a pipe: one line on standard error for each host that is done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def state(self, host: str, text: str) -> None:
        """Nothing: who reads lines wants outcomes."""

    def done(self, host: str, text: str, *, good: bool) -> None:
        """The line."""
        del good
        print(f"{host}: {text}", file=sys.stderr, flush=True)

    def tick(self) -> None:
        """Nothing moves."""


class Board:
    """For a terminal: a table on standard error, redrawn while hosts are at work."""

    def __init__(self, out: Console) -> None:
        self._rows: dict[str, tuple[str, str, float]] = {}
        self._done: set[str] = set()
        self._drawn = 0.0
        self._live = Live(console=out, auto_refresh=False)

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._draw()
        self._live.stop()

    def state(self, host: str, text: str) -> None:
        """Another state."""
        self._rows[host] = (text, "", time.monotonic())
        self.tick()

    def done(self, host: str, text: str, *, good: bool) -> None:
        """The end."""
        self._rows[host] = (text, "green" if good else "red", time.monotonic())
        self._done.add(host)
        self._draw()

    def tick(self) -> None:
        """Redraws now and then."""
        if time.monotonic() - self._drawn >= _REDRAWN_S:
            self._draw()

    def _draw(self) -> None:
        self._drawn = now = time.monotonic()
        table = Table()
        for heading in ("host", "state", "for"):
            table.add_column(heading, overflow="fold")
        for host, (text, style, since) in self._rows.items():
            age = "" if host in self._done else f"{now - since:.0f} s"
            table.add_row(host, Text(text, style=style), age)
        self._live.update(table, refresh=True)


def progress(*, quiet: bool = False) -> Lines | Board:
    """What suits standard error; `quiet` wants lines anyway, as output is shown beside them."""
    out = Console(stderr=True, markup=False, emoji=False, highlight=False)
    return Board(out) if out.is_terminal and not quiet else Lines()
