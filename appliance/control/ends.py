"""The backend hears of every end, also of those that nobody said.

nginx says once that somebody left. Where that is lost, or the host that would have heard it is dead, the
records in Valkey tell who was let in: the host itself compares them with its /stat, and every host looks
after those of hosts that are silent. Whoever comes first tells the end, and forgets the record in the same
step.
"""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record, untrusted
from appliance.control.lost import DECISION_SECONDS, JOIN_SECONDS
from appliance.control.unchanged import Unchanged
from appliance.state.event_kinds import play_ended, publish_ended

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.control.context import Control
    from appliance.control.stat import IngestStatus

SILENT_SECONDS: Final = 300.0
"""How long a host says nothing before its players count as gone.

Longer than a restart, or an upgrade, of its control service takes: who plays on meanwhile is not told of
again.
"""


class Ends:
    """Looks for ends, round by round. Both methods raise StateUnavailableError."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._leaseless = Unchanged(control.settings.lease_seconds)
        self._beats = Unchanged(SILENT_SECONDS)

    async def of_publishers(self, present: Collection[str], status: IngestStatus) -> None:
        """Tells the ends of publishers whose leases ended by themselves.

        Parameters
        ----------
        present
            The sessions that have a lease.
        status
            What this host's nginx carries. A host takes its own leases again while their publishers are on
            air; that of another host has to be missing for as long as a lease lives.
        """
        leases, host = self._control.leases, self._control.host
        for lease in leases.taken.lost(present):
            if status.lists(lease.stream, lease.client):
                continue
            # What Valkey has lost altogether is known from here alone.
            if not await leases.publishes.end(lease) and self._control.backend is not None:
                await self._control.backend.events.add(publish_ended(lease, "lost"))
            leases.taken.forget(lease)
        found = {lease.session: lease for lease in await leases.publishes.leaseless()}
        elsewhere = {session: lease.host for session, lease in found.items() if lease.host != host}
        gone = [found[session] for session in self._leaseless.over(elsewhere)]
        own = [lease for lease in found.values() if lease.host == host]
        for lease in [*gone, *(lease for lease in own if not status.lists(lease.stream, lease.client))]:
            if await leases.publishes.end(lease):
                whose = {"host": untrusted(lease.host), "since": lease.started_at}
                record("reconcile", action="end", stream=lease.stream, level=logging.WARNING, **whose)

    async def of_players(self, status: IngestStatus) -> None:
        """Tells the ends of players whose "done" was lost, and of those of silent hosts."""
        backend, host = self._control.backend, self._control.host
        if backend is None:
            return
        for client, play in (await backend.plays.all()).items():
            settled = time.time() - play.since >= DECISION_SECONDS + JOIN_SECONDS
            if settled and client not in status.clients:
                await backend.plays.end(client, play_ended(play, "lost", host=host))
        beats = await backend.plays.beat()
        for silent in self._beats.over({name: count for name, count in beats.items() if name != host}):
            plays = backend.plays.of(silent)
            for client, play in (await plays.all()).items():
                await plays.end(client, play_ended(play, "lost", host=silent))
            await plays.retire()
            record("reconcile", action="end", host=untrusted(silent), reason="its control service is silent")
