"""Every alert fires under its fault on a real host, and is over when that is mended."""

from __future__ import annotations

import json
import os
import time
from contextlib import suppress

import pytest

from tests.alerts.conftest import Made, Row
from tests.alerts.faults import GROUPS, Bench, Fault, done
from tests.alerts.watching import Prometheus
from tests.support.waiting import until

FIRE_SECONDS = 120
CLEAR_SECONDS = 150
"""A stream's own alerts are over after a minute without an occurrence (appliance/media/alerts.py)."""

HEALTHY_SECONDS = 30
LOOK_SECONDS = 1


def firing(prometheus: Prometheus) -> set[tuple[str, str]]:
    """Return what fires, but for what is the machine's: its CPU, when others take it."""
    found = prometheus.firing()
    if os.getloadavg()[0] > (os.cpu_count() or 1):
        found.discard(("CpuBusy", ""))
    return found


def quiet(prometheus: Prometheus, seconds: float = 120) -> None:
    """Wait until nothing fires."""
    with suppress(AssertionError):  # which would not say what fires
        until("nothing fires", lambda: not firing(prometheus), seconds)
    assert firing(prometheus) == set()


def test_a_healthy_host_fires_nothing(hasty: Prometheus) -> None:
    quiet(hasty)
    since = time.monotonic()
    while time.monotonic() - since < HEALTHY_SECONDS:
        assert firing(hasty) == set()


def watch(prometheus: Prometheus, rows: list[Row], *, until_firing: bool) -> None:
    """Wait until all of `rows` fire, or none does; note when each does."""
    began = time.monotonic()
    waiting = list(rows)
    while waiting and time.monotonic() - began < (FIRE_SECONDS if until_firing else CLEAR_SECONDS):
        now = prometheus.firing()
        for row in [row for row in waiting if row.among(now) is until_firing]:
            waiting.remove(row)
            if until_firing:
                row.fired = time.monotonic() - row.planted_at
            else:
                row.cleared = time.monotonic() - row.mended_at
        time.sleep(LOOK_SECONDS)


@pytest.mark.parametrize("name", GROUPS)
def test_alerts_fire_and_are_over(hasty: Prometheus, bench: Bench, rows: list[Row], name: str) -> None:
    quiet(hasty)
    alerts = {alert for fault in GROUPS[name] for alert in fault.alerts}
    if already := alerts & {alert for alert, _ in hasty.firing()}:
        pytest.skip(f"{already}: this machine computes for others, which nothing here can mend")
    own: list[Row] = []
    planted: list[Fault] = []
    try:
        for fault in GROUPS[name]:
            planted.append(fault)
            done(fault.plant, bench)
            own += [Row(alert, fault.name, fault.stream, time.monotonic()) for alert in fault.alerts]
        watch(hasty, own, until_firing=True)
        print("firing:", sorted(firing(hasty)))
    finally:
        for fault in planted:
            done(fault.mend, bench)
            for row in own:
                if row.fault == fault.name:
                    row.mended_at = time.monotonic()
    rows += own
    watch(hasty, [row for row in own if row.fired is not None], until_firing=False)
    assert [row for row in own if row.fired is None or row.cleared is None] == []


def test_alertmanager_tells_of_the_beginning_and_the_end(live: Made) -> None:
    def told() -> set[tuple[str, str]]:
        messages = [json.loads(request.body) for request in live.operators.requests]
        return {
            (alert["labels"]["alertname"], alert["status"]) for each in messages for alert in each["alerts"]
        }

    until("both were told", lambda: {("HostSilent", "firing"), ("HostSilent", "resolved")} <= told(), 60)
    assert set(live.operators.paths) == {"/alerts"}
