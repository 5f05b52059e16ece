"""When a lease counts as lost: its publisher is gone without anybody having told us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from appliance.control.stat import IngestStatus
    from appliance.state.lease import Lease

JOIN_SECONDS: Final = 3.0
"""Time nginx gets between our answer and listing the publisher in /stat."""


def is_lost(lease: Lease, status: IngestStatus, *, host: str, reader_wait_seconds: float) -> bool:
    """Whether the publisher behind `lease` is gone.

    Parameters
    ----------
    status
        What the nginx of `host`, this host, carries. Of another host's leases only that host can tell; if it
        is dead, they end by themselves.
    reader_wait_seconds
        How long a publish may be held back for the stream's reader before nginx hears our answer.
    """
    if lease.host != host:
        return False
    settled = lease.seen or lease.idle_seconds >= reader_wait_seconds + JOIN_SECONDS
    return settled and not status.lists(lease.stream, lease.client)
