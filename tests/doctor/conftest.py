"""A provisioned host of this suite's own, a stream on it, and the table of what the doctor said."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.doctor.faults import STREAM
from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site, provisioned
from tests.support.waiting import until

LAB = "doctor"


@dataclass(frozen=True)
class Row:
    """What the doctor said of one fault, and how long (s) until it said something."""

    fault: str
    finding: str
    named: bool
    seconds: float
    findings: int


ROWS = pytest.StashKey[list[Row]]()


class Doctor:
    """The doctor on a host."""

    def __init__(self, site: Site) -> None:
        self.site = site

    def look(self, *arguments: str) -> dict[str, Any]:
        """Return what it says as JSON."""
        done = self.site.run("appliance", "doctor", "--json", *arguments, check=False)
        assert done.returncode in {0, 1, 2}, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def until_healthy(self, seconds: float = 100) -> None:
        """Wait until it finds nothing."""
        findings: list[Any] = []

        def healthy() -> bool:
            findings[:] = self.look()["findings"]
            return findings == []

        try:
            until("healthy", healthy, seconds)
        except AssertionError:
            pytest.fail(f"the host is not healthy: {json.dumps(findings, indent=1)}")


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Give a host that playbooks/site.yml has been applied to."""
    with provisioned(LAB) as host:
        yield host


@pytest.fixture(scope="session")
def publisher(site: Site) -> Iterator[Publisher]:
    """Publish a stream all the time."""
    with Publisher(site.rtmp(STREAM), Signal(gop_seconds=1)) as sending:
        player.wait_for(site.hls(STREAM), segments=3)
        yield sending


@pytest.fixture
def doctor(site: Site, publisher: Publisher) -> Doctor:
    """Give the doctor of a healthy host with a live stream."""
    assert publisher.connected
    made = Doctor(site)
    made.until_healthy()
    return made


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Collect what is shown at the end."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of faults."""
    found = config.stash.get(ROWS, [])
    if found:
        terminalreporter.section("faults, and what the doctor said first")
        for row in found:
            named = "named" if row.named else "NOT NAMED"
            terminalreporter.write_line(
                f"{row.fault:<38} {named:<10} {row.seconds:5.1f} s  {row.findings:>2} findings  {row.finding}"
            )
        count = sum(row.named for row in found)
        terminalreporter.write_line(f"{count} of {len(found)} causes named by the first finding")
