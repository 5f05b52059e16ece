"""A host of this suite's own that looks after itself, streams on it, and the table of alerts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from tests.alerts.faults import HUNG, SLOW, STREAMS, Bench, stand_in
from tests.alerts.load import Encoders, Newcomers, Viewer
from tests.alerts.rules import SCRAPE_SECONDS, shortened
from tests.alerts.watching import Prometheus
from tests.support import player
from tests.support.site import HOST, SETTINGS, Site, bare
from tests.support.slowness import slowness
from tests.support.stub_backend import StubBackend
from tests.support.waiting import until

LAB = "alerts"
GROUPS = {group: [HOST] for group in ("origins", "state", "build", "monitors")}

# A fault can fill this file system, and a container has no other that it could fill.
_VALKEYS_OWN_DISK = """
set -e
! mountpoint -q /var/lib/valkey || exit 0
systemctl stop valkey-server
cp -a /var/lib/valkey /root/valkey
mount -t tmpfs -o size=16m valkey /var/lib/valkey
chown --reference=/root/valkey /var/lib/valkey
chmod --reference=/root/valkey /var/lib/valkey
cp -a /root/valkey/. /var/lib/valkey/
systemctl start valkey-server
"""

# Alertmanager gathers for minutes what belongs together, and tries that long to deliver.
_HASTE = """
set -e
cat >/etc/prometheus/appliance-rules/streaming.rules.yml
sed -i 's/group_wait: .*/group_wait: 1s/; s/group_interval: .*/group_interval: 10s/' \
    /etc/prometheus/appliance-alertmanager.yml
promtool check rules /etc/prometheus/appliance-rules/streaming.rules.yml
systemctl reload prometheus prometheus-alertmanager
"""


@dataclass
class Row:
    """One alert under one fault."""

    alert: str
    fault: str
    stream: str
    """The one that it is about; "" for any, or none."""
    planted_at: float
    """Monotonic seconds, as is the next."""
    mended_at: float = 0.0
    fired: float | None = None
    """Seconds from planting; None: it did not."""
    cleared: float | None = None
    """Seconds from mending until it was over; None: it was not."""

    def among(self, firing: set[tuple[str, str]]) -> bool:
        """Whether it is one of those, as `Prometheus.firing` returns them."""
        return any(name == self.alert and self.stream in {"", stream} for name, stream in firing)


ROWS = pytest.StashKey[list[Row]]()


@dataclass(frozen=True)
class Made:
    """The host, and who hears from it."""

    site: Site
    backend: StubBackend
    operators: StubBackend
    """Where alerts go."""
    second_run: str
    """What the playbook printed when there was nothing left to do."""


@pytest.fixture(scope="session")
def made() -> Iterator[Made]:
    """Give a host that playbooks/site.yml has been applied to, twice; before, in check mode."""
    with ExitStack() as stack:
        site = stack.enter_context(bare(LAB, GROUPS))
        backend, operators = (
            stack.enter_context(StubBackend(host=site.neighbour).beside()) for _ in range(2)
        )
        settings: dict[str, Any] = {
            "monitoring_scrape_seconds": SCRAPE_SECONDS,
            "monitoring_alert_webhook_url": f"{operators.url}/alerts",
            "control_http_callback_url": backend.url,
            # So that the backend is asked about viewers as well.
            "control_settings": {**SETTINGS["control_settings"], "view_policy": "backend"},
        }
        site.apply("--check", **settings)
        site.apply(**settings)
        yield Made(site, backend, operators, site.apply(**settings))


@pytest.fixture(scope="session")
def live(made: Made) -> Iterator[Made]:
    """Give it with streams that are watched."""
    stand_in(made.site, HUNG)
    with (
        slowness(made.site, SLOW),
        Encoders(made.site, STREAMS),
        Newcomers(made.site, HUNG),
        Viewer(made.site, HUNG),
    ):
        for stream in STREAMS:
            player.wait_for(made.site.hls(stream), segments=3, seconds=60)
        yield made


@pytest.fixture(scope="session")
def prometheus(live: Made) -> Prometheus:
    """Give the host's Prometheus, which has seen the streams."""
    found = Prometheus(live.site)
    until("the streams are seen", lambda: found.found("appliance_stream_encode_speed_ratio"), 60)
    return found


@pytest.fixture(scope="session")
def hasty(live: Made, prometheus: Prometheus) -> Prometheus:
    """Give it with the rules of `tests.alerts.rules`, and all that the faults need prepared."""
    site = live.site
    site.run("sh", "-c", _VALKEYS_OWN_DISK)
    site.run("sh", "-c", f"cat >/root/rules <<'END'\n{shortened()}END\n")
    site.run("sh", "-c", f"{{ {_HASTE}}} </root/rules")
    return prometheus


@pytest.fixture(scope="session")
def bench(live: Made) -> Bench:
    """Give what faults are planted on."""
    return Bench(live.site, live.backend)


@pytest.fixture(scope="session")
def rows(request: pytest.FixtureRequest) -> list[Row]:
    """Collect what is shown at the end."""
    return request.config.stash.setdefault(ROWS, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table of alerts."""
    found = config.stash.get(ROWS, [])
    if found:
        terminalreporter.section("alerts: until each fired, and until it was over after the mend")
        for row in found:
            times = [
                f"{value:6.1f} s" if value is not None else "   NEVER" for value in (row.fired, row.cleared)
            ]
            terminalreporter.write_line(f"{row.alert:<22} {'  '.join(times)}  {row.fault}")
        good = [row for row in found if row.fired is not None and row.cleared is not None]
        terminalreporter.write_line(f"{len(good)} of {len(found)} fired and were over")
