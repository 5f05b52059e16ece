"""One provisioned host for all tests of this folder, and at the end a table of how long recoveries took."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.support.site import Site, provisioned
from tests.support.watch import Recovery

RECOVERIES = pytest.StashKey[list[Recovery]]()


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Give a host that playbooks/site.yml has been applied to."""
    with provisioned() as host:
        yield host


@pytest.fixture(scope="session")
def recoveries(request: pytest.FixtureRequest) -> list[Recovery]:
    """Collect what is shown at the end."""
    return request.config.stash.setdefault(RECOVERIES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of recoveries."""
    found = config.stash.get(RECOVERIES, [])
    if found:
        terminalreporter.section("recovery after SIGKILL")
        terminalreporter.write_line(Recovery.HEADER)
        for recovery in found:
            terminalreporter.write_line(str(recovery))
