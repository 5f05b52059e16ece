"""`GET /streams/active`, `/streams/stats` in the shape the platform's document gives, and `/streams/NAME`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.control.responses import detail, ok
from appliance.media.status_reading import read_status
from appliance.names import StreamName, is_stream_name

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.control.context import Control
    from appliance.state.lease import Lease


class Streams:
    """What is live on all hosts that share this state. Without Valkey both answer 503 (see app.py)."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def active(self, _: Request) -> Response:
        """The streams that hold a publish lease."""
        streams = {lease.stream: _publisher(lease) for lease in await self._control.leases.all()}
        return ok({"active_streams": dict(sorted(streams.items())), "count": len(streams)})

    async def stats(self, _: Request) -> Response:
        """The counters of every stream that was ever published or played."""
        counts = await self._control.counters.all()
        stats = {stream: asdict(count) for stream, count in counts.items()}
        return ok({"stream_stats": stats, "total_streams": len(stats)})

    async def detail(self, request: Request) -> Response:
        """All that is known of one stream: who publishes it, its counts, and what its process says of itself.

        `status` is `status.json` as it stands on this host (`appliance.media.status`), null on others;
        `placement` where the stream is to be encoded, null where no capacity was measured.
        """
        name = request.path_params["stream"]
        if not is_stream_name(name):
            return detail(404, "No such stream")
        stream = StreamName(name)
        lease = await self._control.leases.get(stream)
        counts = await self._control.counters.get(stream)
        status = read_status(Path(self._control.settings.media_root) / stream)
        placement = self._control.admission.placement(stream)
        if lease is None and counts is None and status is None:
            return detail(404, "No such stream")
        return ok(
            {
                "stream": stream,
                "active": None if lease is None else {**_publisher(lease), "host": lease.host},
                "stats": None if counts is None else asdict(counts),
                "placement": None if placement is None else asdict(placement),
                "status": None if status is None else status.content,
            }
        )


def _publisher(lease: Lease) -> dict[str, str]:
    return {"started_at": lease.started_at, "client_ip": lease.client_ip, "app": lease.app}
