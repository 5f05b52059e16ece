"""Who was let in to publish, for as long as their end is not told: records beside the leases.

A lease ends by itself when its host dies, and nobody hears of it. So a record of what it said is written in
the same step, and does not expire: it goes when the lease is given back, when the stream's next one is taken,
or when a host finds the record without its lease and tells the end. There is one record for each stream.
It also says by which key a publisher came, should its lease be lost while the publisher is on air.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.state.event_kinds import publish_ended
from appliance.state.events import EVENTS
from appliance.state.lease import LEASE, LeaseReader
from appliance.state.valkey import PREFIX, Script, StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.names import StreamName
    from appliance.state.events import Event
    from appliance.state.lease import Lease
    from appliance.state.valkey import State

PUBLISH: Final = f"{PREFIX}publish:"
PUBLISHES: Final = f"{PREFIX}publishes"


class Publishes:
    """The records of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State, life_ms: int) -> None:
        self._read = LeaseReader(life_ms, PUBLISH)
        self._tell = Script(state, "tell_publish")
        self._end = Script(state, "end_publish")
        self._get = Script(state, "read")
        self._leaseless = Script(state, "leaseless")

    async def tell(self, lease: Lease, told: Event) -> bool:
        """Stores `told`, that `lease` has begun, unless it is told; False when its record is gone."""
        return bool(await self._tell([PUBLISH + lease.stream, EVENTS], [lease.session, *told.arguments()]))

    async def get(self, stream: StreamName) -> Lease | None:
        """The record of the stream's last publisher, None when there is none."""
        answer = await self._get([PUBLISH + stream], [])
        return self._read(stream, answer[0], answer[1]) if answer else None

    async def leaseless(self) -> list[Lease]:
        """The records of those who have no lease any more."""
        return self._read.rows(await self._leaseless([PUBLISHES], [PUBLISH, LEASE]))

    async def end(self, record: Lease) -> bool:
        """Forgets `record`, and tells its end where its beginning was told, in one step.

        False when that has happened already, or it has its lease (again).
        """
        keys = [LEASE + record.stream, PUBLISH + record.stream, PUBLISHES, EVENTS]
        told = publish_ended(record, "lost")
        return bool(await self._end(keys, [record.session, record.stream, *told.arguments()]))

    async def end_of(self, stream: StreamName, flat: Sequence[str]) -> None:
        """The same of what a script found there. Raises StateUnavailableError when that cannot be read."""
        record = self._read(stream, 0, flat)
        if record is None:
            raise StateUnavailableError(f"Valkey: {self._read.mend(stream)}")
        await self.end(record)
