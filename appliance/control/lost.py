"""When a lease counts as lost: its publisher is gone without anybody having told us."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from appliance.control.stat import IngestStatus
    from appliance.state.lease import Lease

JOIN_SECONDS: Final = 3.0
"""Time nginx gets between our answer and listing the publisher in /stat."""


DECISION_SECONDS: Final = 8.5
"""Longest time until a publish is answered, all its waits together.

nginx-rtmp gives up after 10 s and refuses the encoder without an answer of ours (`ngx_rtmp_netcall_module.c`,
`netcall_timeout`), so the rest is for the last count and the way back.
"""


def is_lost(lease: Lease, status: IngestStatus, *, host: str) -> bool:
    """Whether the publisher behind `lease` is gone.

    Parameters
    ----------
    status
        What the nginx of `host`, this host, carries. Of another host's leases only that host can tell; if it
        is dead, they end by themselves, which another host tells (`appliance.control.ends`).
    """
    if lease.host != host:
        return False
    settled = lease.seen or lease.idle_seconds >= DECISION_SECONDS + JOIN_SECONDS
    return settled and not status.lists(lease.stream, lease.client)
