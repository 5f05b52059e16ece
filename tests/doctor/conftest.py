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


class Encoder:
    """A publisher that connects again when a fault has cut it off."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._sending: Publisher | None = None

    def ensure(self) -> None:
        """Have it publish, and the stream play."""
        if self._sending is not None and self._sending.connected:
            return
        self.stop()
        until("the name is free", lambda: STREAM not in self._site.publishing(), 20)
        self._sending = Publisher(self._site.rtmp(STREAM), Signal(gop_seconds=1)).__enter__()
        until("the stream is published", lambda: STREAM in self._site.publishing(), 20)
        player.wait_for(self._site.hls(STREAM), segments=3)

    def stop(self) -> None:
        """End it."""
        if self._sending is not None:
            self._sending.stop()


@pytest.fixture(scope="session")
def encoder(site: Site) -> Iterator[Encoder]:
    """Publish a stream all the time."""
    made = Encoder(site)
    yield made
    made.stop()


@pytest.fixture
def doctor(site: Site, encoder: Encoder) -> Doctor:
    """Give the doctor of a healthy host with a live stream."""
    encoder.ensure()
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
