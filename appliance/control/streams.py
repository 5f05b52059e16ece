"""`GET /streams/active` and `/streams/stats`, in the shape the platform's document gives."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

from appliance.control.responses import ok

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.control.context import Control


class Streams:
    """What is live on all hosts that share this state. Without Valkey both answer 503 (see app.py)."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def active(self, _: Request) -> Response:
        """The streams that hold a publish lease."""
        streams = {
            lease.stream: {
                "started_at": lease.started_at,
                "client_ip": lease.client_ip,
                "app": lease.app,
            }
            for lease in await self._control.leases.all()
        }
        return ok({"active_streams": dict(sorted(streams.items())), "count": len(streams)})

    async def stats(self, _: Request) -> Response:
        """The counters of every stream that was ever published or played."""
        counts = await self._control.counters.all()
        stats = {stream: asdict(count) for stream, count in counts.items()}
        return ok({"stream_stats": stats, "total_streams": len(stats)})
