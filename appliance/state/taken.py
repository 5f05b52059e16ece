"""The leases of this process, as it knows them without Valkey.

Valkey may lose one: it was away for longer than a lease lives, or its clock jumped. What stands in no
statistics of nginx is known from here alone: by which key a publisher was let in, since when, and that it
was there at all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection

    from appliance.names import StreamName
    from appliance.state.lease import Lease


class Taken:
    """The lease that was taken or renewed last of each stream, until it is given back."""

    def __init__(self) -> None:
        self._leases: dict[StreamName, Lease] = {}

    def put(self, lease: Lease, *, seen: bool = False) -> None:
        """`lease` was taken, or renewed as it was `seen` in /stat."""
        self._leases[lease.stream] = replace(lease, seen=seen)

    def get(self, stream: StreamName, *, client: str) -> Lease | None:
        """The lease of `stream` if it is that of the connection `client`."""
        lease = self._leases.get(stream)
        return lease if lease is not None and lease.client == client else None

    def lost(self, present: Collection[str]) -> list[Lease]:
        """Those that were seen, and whose sessions are not `present` in Valkey."""
        return [lease for lease in self._leases.values() if lease.seen and lease.session not in present]

    def forget(self, lease: Lease) -> None:
        """`lease` was given back, or its end is told."""
        if (known := self._leases.get(lease.stream)) is not None and known.session == lease.session:
            del self._leases[lease.stream]
