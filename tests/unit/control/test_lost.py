"""Which leases count as lost."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.control.lost import DECISION_SECONDS, JOIN_SECONDS, is_lost
from appliance.control.stat import IngestStatus, Publisher
from appliance.names import parse_stream_name
from appliance.state.lease import Lease

DEMO = parse_stream_name("demo")
LEASE = Lease.new(DEMO, host="here", client="7", app="live", client_ip="192.0.2.1")


def carrying(client: str) -> IngestStatus:
    return IngestStatus(publishers={DEMO: Publisher(client=client, address="192.0.2.1")})


@pytest.mark.parametrize(
    ("lease", "status", "lost"),
    [
        (replace(LEASE, seen=True), IngestStatus(), True),
        (replace(LEASE, seen=True), carrying("7"), False),
        (replace(LEASE, seen=True), carrying("8"), True),
        (replace(LEASE, seen=True, host="there"), IngestStatus(), False),
        (LEASE, IngestStatus(), False),
        (replace(LEASE, idle_seconds=DECISION_SECONDS + JOIN_SECONDS), IngestStatus(), True),
    ],
)
def test_lost(lease: Lease, status: IngestStatus, lost: bool) -> None:
    assert is_lost(lease, status, host="here") is lost
