"""Publish leases: one publisher for each stream name, on all hosts together.

A lease is a hash in Valkey that expires by itself. Its holder is one connection of one host, named by a
random session: only that session renews or releases it, so a message that arrives late ("done" of the
connection before) changes nothing. Every change is one Lua script and therefore atomic.

Beside each lease stands a record of the same that does not expire (`appliance.state.publishes`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from appliance.state.events import EVENTS
from appliance.state.lease import LEASE, LeaseReader
from appliance.state.publishes import PUBLISH, PUBLISHES, Publishes
from appliance.state.taken import Taken
from appliance.state.valkey import PREFIX, Script

if TYPE_CHECKING:
    from appliance.names import StreamName
    from appliance.state.events import Event
    from appliance.state.lease import Lease
    from appliance.state.valkey import State

_INDEX: Final = f"{PREFIX}leases"
_TELL_FIRST: Final = 2


class Leases:
    """The leases of all hosts.

    Parameters
    ----------
    state
        The connection to Valkey.
    life_seconds
        How long a lease lives when nobody renews it.

    Every method raises StateUnavailableError. A lease that cannot be read (another program wrote it) is
    logged once and left alone: it is listed nowhere, and its stream stays taken until it ends or is removed.
    """

    def __init__(self, state: State, life_seconds: float) -> None:
        self._life_ms = round(life_seconds * 1000)
        self._acquire = Script(state, "acquire")
        self._hold = Script(state, "hold")
        self._release = Script(state, "release")
        self._get = Script(state, "read")
        self._list = Script(state, "list")
        self._read = LeaseReader(self._life_ms)
        self.publishes = Publishes(state, self._life_ms)
        self.taken = Taken()

    async def acquire(
        self, lease: Lease, *, replacing: Lease | None = None, told: Event | None = None
    ) -> Lease | None:
        """Takes `lease` if its stream is free, or held by exactly `replacing` (compare and set).

        When that one is replaced, and its beginning was told, `told` is stored in the same step.
        Returns None when it was taken, else the lease that stands in the way.
        """
        fields = lease.fields(self._life_ms)
        replaced = replacing.session if replacing else ""
        arguments = [replaced, str(self._life_ms), lease.stream, str(2 * len(fields))]
        for name, value in fields.items():
            arguments += [name, value]
        arguments += told.arguments() if told else []
        keys = [LEASE + lease.stream, _INDEX, EVENTS, PUBLISH + lease.stream, PUBLISHES]
        answer = await self._acquire(keys, arguments)
        while answer[0] == _TELL_FIRST:
            # Somebody's lease has ended without a word, and nobody has told that yet.
            await self.publishes.end_of(lease.stream, answer[1])
            answer = await self._acquire(keys, arguments)
        if answer[0] == 1:
            self.taken.put(lease)
            return None
        # One that cannot be read is somebody's all the same; no host has this name, so nobody takes it over.
        nobody = replace(
            lease,
            host=f"an unknown host ({self._read.mend(lease.stream)})",
            client="",
            app="",
            client_ip="",
            session="",
            started_at="",
        )
        return self._read(lease.stream, answer[1], answer[2]) or nobody

    async def hold(self, lease: Lease) -> bool:
        """Renews `lease` and marks it as seen in /stat; False when its session no longer holds it."""
        answer = await self._hold(
            [LEASE + lease.stream, _INDEX], [lease.session, str(self._life_ms), lease.stream]
        )
        if answer:
            self.taken.put(lease, seen=True)
        return bool(answer)

    async def release(self, lease: Lease, *, told: Event | None = None) -> bool:
        """Gives `lease` back; False when its session no longer holds it.

        `told` is stored in the same step, unless its beginning was not told.
        """
        arguments = [lease.session, lease.stream, *(told.arguments() if told else [])]
        keys = [LEASE + lease.stream, _INDEX, EVENTS, PUBLISH + lease.stream, PUBLISHES]
        answer = await self._release(keys, arguments)
        if answer:
            self.taken.forget(lease)
        return bool(answer)

    async def get(self, stream: StreamName) -> Lease | None:
        """The lease of `stream`, None when it is free."""
        answer = await self._get([LEASE + stream], [])
        return self._read(stream, answer[0], answer[1]) if answer else None

    async def all(self) -> list[Lease]:
        """Every lease that lives, ordered by the time it ends."""
        return self._read.rows(await self._list([_INDEX], [LEASE]))
