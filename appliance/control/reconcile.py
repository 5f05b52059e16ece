"""Every few seconds: leases, units and readers are made to agree with what nginx really carries.

Callbacks get lost (this service restarts, nginx is killed, Valkey is away). nginx's /stat is the truth about
who publishes here; this loop renews the leases of those, gives back the leases of the others, and starts the
unit of a publisher that has none.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from appliance.control.audit import record, untrusted
from appliance.control.ends import Ends
from appliance.control.lost import is_lost
from appliance.control.on_air import OnAir
from appliance.control.stat import StatUnavailableError
from appliance.control.supervise import Supervisor
from appliance.control.troubles import Troubles
from appliance.control.units import UnitsUnavailableError
from appliance.names import APPLICATION
from appliance.state.event_kinds import publish_ended, publish_started
from appliance.state.lease import Lease
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.control.context import Control
    from appliance.control.stat import IngestStatus, Publisher
    from appliance.names import StreamName


class Reconciler:
    """The loop; `round` is one comparison."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._supervisor = Supervisor(control)
        self._ends = Ends(control)
        self._on_air = OnAir(control)
        self.troubles = Troubles("reconcile")
        """What does not answer, or does not fit, at present."""
        self._elsewhere: dict[StreamName, str] = {}

    async def run(self) -> None:
        """Compares for ever."""
        while True:
            await asyncio.sleep(self._control.settings.reconcile_seconds)
            await self.attempt()

    async def attempt(self) -> None:
        """One round that never raises: an unexpected error is logged by its type."""
        try:
            await self.round()
        # Broad on purpose: nobody awaits the loop before the service ends, so whatever it let through would
        # end the comparisons for good, and silently; at start-up it would keep the service down.
        except Exception as error:  # noqa: BLE001
            self.troubles(type(error).__name__, part="round")
        else:
            self.troubles(None, part="round")

    async def round(self) -> None:
        """Compares once. A part that does not answer is logged once, and left for the next round."""
        try:
            status = await self._control.ingest.status()
        except StatUnavailableError as error:
            # Nobody can say who publishes, so nothing is renewed and nothing given back.
            self.troubles(str(error), part="ingest")
            return
        self.troubles(None, part="ingest")
        self._control.readers.compare(status.readers)
        await self._leases(status)
        await self._plays(status)
        await self._units(status)

    async def _leases(self, status: IngestStatus) -> None:
        try:
            leases = {lease.stream: lease for lease in await self._control.leases.all()}
            self._tell_elsewhere(status, leases)
            for stream, publisher in status.publishers.items():
                await self._keep(stream, publisher, leases.get(stream), status)
            for lease in leases.values():
                if self._is_lost(lease, status) and await self._release(lease):
                    record("reconcile", action="release", stream=lease.stream, since=lease.started_at)
            await self._ends.of_publishers({lease.session for lease in leases.values()}, status)
            self._on_air.look(leases.values())
            await self._supervisor.round(leases.values())
        except StateUnavailableError as error:
            self.troubles(str(error), part="state")
        else:
            self.troubles(None, part="state")

    def _tell_elsewhere(self, status: IngestStatus, leases: Mapping[StreamName, Lease]) -> None:
        """Says which streams are on air here while another host has their lease, and when that is over."""
        both = {stream: leases[stream].host for stream in status.publishers if stream in leases}
        before = self._elsewhere
        self._elsewhere = {stream: host for stream, host in both.items() if host != self._control.host}
        for stream, host in self._elsewhere.items():
            self.troubles(f"published here and on {untrusted(host)}", part=f"lease of {stream}")
        for stream in before.keys() - self._elsewhere.keys():
            self.troubles(None, part=f"lease of {stream}")

    async def _keep(
        self, stream: StreamName, publisher: Publisher, held: Lease | None, status: IngestStatus
    ) -> None:
        leases, host = self._control.leases, self._control.host
        if held is not None and (held.host, held.client) == (host, publisher.client):
            await leases.hold(held)
            return
        if held is not None and held.host != host:
            return
        if held is not None and not self._is_lost(held, status):
            return  # somebody is being let in under this name, and nginx was asked before that
        # On air without a lease: Valkey lost it, or it ended while Valkey was away.
        known = leases.taken.get(stream, client=publisher.client)
        lease = (
            known
            or await self._recorded(stream, publisher)
            or Lease.new(
                stream,
                host=host,
                client=publisher.client,
                app=APPLICATION,
                client_ip=publisher.address,
            )
        )
        told = publish_ended(held, "lost") if held and self._control.backend else None
        if await leases.acquire(lease, replacing=held, told=told) is None:
            await leases.hold(lease)
            record("reconcile", action="take", stream=stream, client_ip=untrusted(publisher.address))
            if self._control.backend is not None:  # unless its record says that it is told
                await leases.publishes.tell(lease, publish_started(lease))

    async def _recorded(self, stream: StreamName, publisher: Publisher) -> Lease | None:
        """What was noted when `publisher` was let in, by which key most of all; None when that is lost."""
        found = await self._control.leases.publishes.get(stream)
        asked = (self._control.host, publisher.client, publisher.address)
        return found if found and (found.host, found.client, found.client_ip) == asked else None

    async def _release(self, lease: Lease) -> bool:
        """Gives back the lease of a publisher that is gone; the backend hears of it."""
        told = publish_ended(lease, "lost") if self._control.backend else None
        return await self._control.leases.release(lease, told=told)

    def _is_lost(self, lease: Lease, status: IngestStatus) -> bool:
        return is_lost(lease, status, host=self._control.host)

    async def _plays(self, status: IngestStatus) -> None:
        try:
            await self._ends.of_players(status)
        except StateUnavailableError as error:
            self.troubles(str(error), part="plays")
        else:
            self.troubles(None, part="plays")

    async def _units(self, status: IngestStatus) -> None:
        try:
            running = await self._control.units.running() if status.publishers else set()
            for stream in status.publishers.keys() - running:
                await self._control.units.start(stream)
                record("reconcile", action="start", stream=stream, level=logging.WARNING)
        except UnitsUnavailableError as error:
            self.troubles(str(error), part="units")
        else:
            self.troubles(None, part="units")
