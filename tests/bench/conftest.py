"""Alternatives measured side by side: each comparison takes both in turn in one run, and prints their ratio.

Absolute times belong to a machine and an hour; the ratio of two things done in turn is what can be compared.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pytest

from tests.support import site as streaming
from tests.unit.provision.conftest import Site

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ROUNDS = 5
_ROWS: list[str] = []


@dataclass(frozen=True)
class Comparison:
    """Two ways to the same end; each function returns the seconds that one round took."""

    what: str
    ours: Callable[[], float]
    other_name: str
    other: Callable[[], float]

    def measure(self) -> float:
        """Take both in turn, note a row of the table, and return the median of ours / other."""
        pairs = [(self.ours(), self.other()) for _ in range(ROUNDS)]
        ratios = sorted(ours / other for ours, other in pairs)
        ours, other = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(ratios)
        _ROWS.append(
            f"{self.what:<44} {ours:>8.3f} s  {self.other_name:<28} {other:>8.3f} s  "
            f"{ratio:>5.2f}  ({ratios[0]:.2f}-{ratios[-1]:.2f})"
        )
        return ratio


@dataclass
class Table:
    """Figures of one run that are read side by side."""

    title: str
    header: list[str]
    rows: list[list[str]] = field(default_factory=list)

    def lines(self) -> list[str]:
        """Return it as text, the first column to the left, the others to the right."""
        widths = [max(len(cell) for cell in column) for column in zip(self.header, *self.rows, strict=True)]
        return [
            "  ".join(
                f"{cell:{'>' if at else '<'}{width}}"
                for at, (cell, width) in enumerate(zip(line, widths, strict=True))
            )
            for line in [self.header, *self.rows]
        ]


_TABLES: list[Table] = []


@pytest.fixture
def tables() -> list[Table]:
    """Tables that are printed at the end; append to it."""
    return _TABLES


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A folder for a playbook that runs against this machine."""
    return Site(tmp_path)


@pytest.fixture(scope="session")
def host() -> Iterator[streaming.Site]:
    """A provisioned streaming host."""
    with streaming.provisioned() as made:
        yield made


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the table."""
    terminalreporter.section("ours against the alternative: medians, and the ratio's median (range)")
    for row in _ROWS:
        terminalreporter.line(row)
    for table in _TABLES:
        terminalreporter.section(table.title)
        for line in table.lines():
            terminalreporter.line(line)
