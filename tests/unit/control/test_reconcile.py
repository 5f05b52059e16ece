"""The comparison goes on, whatever one round or one lease in Valkey is like."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from unittest.mock import AsyncMock

import pytest

from appliance.control.readers import Readers
from appliance.control.reconcile import Reconciler
from appliance.control.stat import IngestStatus, Publisher
from appliance.names import parse_stream_name
from appliance.state.lease import Lease
from appliance.state.leases import Leases
from appliance.state.taken import Taken
from appliance.state.valkey import State

DEMO = parse_stream_name("demo")
GOOD = ["host", "here", "client", "7", "session", "s", "life_ms", "30000"]


def leases_answering(answer: Any) -> Leases:
    async def script(*_: object) -> Any:
        return answer

    leases = Leases(State(Path("/nowhere"), None), 30)
    leases._list = leases._acquire = cast("Any", script)
    return leases


class Ingest:
    """Fails in a way that nobody foresaw, and says when it is asked for the third time."""

    def __init__(self) -> None:
        self.asked = 0
        self.enough = asyncio.Event()

    async def status(self) -> None:
        self.asked += 1
        if self.asked == 3:
            self.enough.set()
        raise ValueError("a secret")


async def test_an_unexpected_error_ends_neither_the_start_nor_the_loop(
    caplog: pytest.LogCaptureFixture,
) -> None:
    ingest = Ingest()
    control = SimpleNamespace(ingest=ingest, settings=SimpleNamespace(reconcile_seconds=0, lease_seconds=30))
    reconciler = Reconciler(cast("Any", control))
    with caplog.at_level(logging.WARNING, logger="appliance"):
        await reconciler.attempt()
        loop = asyncio.create_task(reconciler.run())
        await asyncio.wait_for(ingest.enough.wait(), 5)
        loop.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await loop
    assert [cast("Any", line).fields["reason"] for line in caplog.records] == ["ValueError"]


@pytest.mark.parametrize(
    "fields",
    [
        ["life_ms", "abc", "session", "x"],
        ["life_ms", "9" * 5000, "session", "x"],
        ["host", "here", "session"],
        ["string"],
        ["host", "h\N{REPLACEMENT CHARACTER}", "session", "x"],
    ],
)
async def test_a_malformed_lease_is_logged_once_and_hides_no_other(
    fields: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    leases = leases_answering([["demo", -1, fields], ["second", 29_000, GOOD]])
    with caplog.at_level(logging.WARNING, logger="appliance"):
        for _ in range(2):
            (found,) = await leases.all()
            assert (found.stream, found.idle_seconds) == ("second", 1.0)
    assert [cast("Any", line).fields["stream"] for line in caplog.records] == ["demo"]


async def test_a_stream_under_a_malformed_lease_stays_taken() -> None:
    mine = Lease.new(DEMO, host="here", client="7", app="live", client_ip="192.0.2.1")
    holder = await leases_answering([0, -1, ["life_ms", "abc", "session", "x"]]).acquire(mine)
    assert holder is not None
    assert holder.host.startswith("an unknown host (what stands in appliance:lease:demo cannot be read; DEL ")


async def test_bytes_that_are_no_text_leave_the_connection_in_step() -> None:
    pool = cast("Any", State(Path("/nowhere"), None).client.connection_pool)
    assert pool.make_connection().encoder.decode(b"\xff") == "\N{REPLACEMENT CHARACTER}"


class Held:
    """Leases that note what is done to them."""

    def __init__(self, *leases: Lease) -> None:
        self.leases = list(leases)
        self.taken = Taken()
        self.publishes = AsyncMock(get=AsyncMock(return_value=None))
        self.done: list[str] = []

    async def all(self) -> list[Lease]:
        return self.leases

    async def hold(self, lease: Lease) -> bool:
        self.done.append(f"hold {lease.client}")
        return True

    async def acquire(self, lease: Lease, **_: object) -> None:
        self.done.append(f"take {lease.client}")

    async def release(self, *_: object, **__: object) -> bool:
        return False


def reconciling(held: Held, *status: IngestStatus) -> Reconciler:
    """The loop of the host `here`, whose nginx has one `status` after the other."""
    units = AsyncMock()
    units.running.return_value = {DEMO}
    control = SimpleNamespace(
        ingest=SimpleNamespace(status=AsyncMock(side_effect=status)),
        readers=Readers(), leases=held, host="here", backend=None, units=units,
        settings=SimpleNamespace(lease_seconds=30, media_root="/nonexistent"),
    )  # fmt: skip
    reconciler = Reconciler(cast("Any", control))
    reconciler._supervisor = reconciler._ends = AsyncMock()
    return reconciler


async def test_a_stream_on_air_on_two_hosts_is_said_until_it_is_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    there = Lease.new(DEMO, host="there", client="8", app="live", client_ip="192.0.2.1")
    on_air = IngestStatus(publishers={DEMO: Publisher("7", "192.0.2.1")})
    reconciler = reconciling(Held(there), on_air, on_air, IngestStatus(), on_air)
    said = []
    for _ in range(4):
        with caplog.at_level(logging.INFO, logger="appliance"):
            await reconciler.round()
        said.append([cast("Any", line).fields["action"] for line in caplog.records])
        caplog.clear()
    assert said == [["waiting"], [], ["recovered"], ["waiting"]]


@pytest.mark.parametrize(("idle_seconds", "done"), [(0.1, []), (60.0, ["take 7", "hold 7"])])
async def test_who_is_being_let_in_keeps_its_lease(idle_seconds: float, done: list[str]) -> None:
    """nginx was asked a moment before its encoder came back, and still named the connection of before."""
    lease = Lease.new(DEMO, host="here", client="8", app="live", client_ip="192.0.2.1")
    held = Held(replace(lease, idle_seconds=idle_seconds))
    reconciler = reconciling(held, IngestStatus(publishers={DEMO: Publisher("7", "192.0.2.1")}))
    await reconciler.round()
    assert held.done == done
