"""What this host does at the moment, in a few figures: for a table of hosts."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from appliance.media.status import State
from appliance.ops.doctor.space import Room
from appliance.ops.doctor.units import NEEDED, ask_units
from appliance.ops.doctor.versions import release

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host


async def summary(host: Host) -> dict[str, Any]:
    """Live streams, connections of viewers, load, shares of memory and media room, and what is down."""
    units, statuses, now = await ask_units(host), await host.statuses(), time.time()
    live = [
        stream
        for stream, status in statuses.items()
        if status.fresh(now) and status.text("state") == State.LIVE.value
    ]
    down = [name for name in NEEDED if name not in units or not units[name].runs]
    down += [
        name for name, unit in units.items() if unit.text("ActiveState") == "failed" and name not in down
    ]
    ports = {listen.port for listen in host.listens("delivery")}
    figures = await asyncio.to_thread(_figures, ports, Path(host.settings.media_root))
    return {"streams_live": len(live), "streams": sorted(live), **figures, "units_down": down}


def _figures(ports: set[int], media_root: Path) -> dict[str, Any]:
    open_ones = [
        one
        for one in psutil.net_connections(kind="tcp")
        if one.status == psutil.CONN_ESTABLISHED and one.laddr and one.laddr.port in ports
    ]
    memory, room = psutil.virtual_memory(), Room.of(media_root)
    return {
        "connections": len(open_ones),
        "load": round(psutil.getloadavg()[0], 2),
        "cores": os.cpu_count(),
        "memory": round(1 - memory.available / memory.total, 4),
        "media": round(1 - room.free / room.size, 4) if room.size else None,
        "uptime": round(time.time() - psutil.boot_time()),
        "version": release(),
    }
