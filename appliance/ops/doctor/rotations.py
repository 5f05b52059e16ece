"""The timers that replace secrets: whether they run, and whether one is late."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.health.finding import Finding, warning
from appliance.media.stream_client import KeyInUse
from appliance.ops.doctor.units import show_units
from appliance.ops.secret_status import secret_status
from appliance.ops.timers import WANTS, ask_timer

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.secret_status import SecretStatus


async def overdue(host: Host) -> list[Finding]:
    """No rotation of a secret is overdue."""
    # As the streams wrote it: one that hangs would keep who asks its socket waiting.
    live: dict[str, KeyInUse] = {
        str(stream): KeyInUse(
            None, status.text("media", "content_key", "kid"), datetime.fromtimestamp(since, UTC)
        )
        for stream, status in (await host.statuses()).items()
        if status.fresh(time.time()) and (since := status.time("media", "content_key", "since")) is not None
    }
    try:
        rows = await asyncio.to_thread(secret_status, host.credentials, ask_timer, live)
    except OperatorError:
        return []  # the check `credentials` says it of a secret, `units` of systemd
    return judge_rotations(rows)


def judge_rotations(rows: list[SecretStatus]) -> list[Finding]:
    """What is overdue."""
    return [
        warning(
            f"the rotation of {row.name} is overdue",
            f"made {'at an unknown time' if row.created is None else f'{row.created:%Y-%m-%d %H:%MZ}'}, "
            "and the time of its timer has passed since",
            "an old secret that was overheard stays good",
            f"see why: systemctl status 'appliance-rotate-*'; now: appliance secrets rotate {row.name}",
        )
        for row in rows
        if row.overdue
    ]


async def stopped_timers(host: Host) -> list[Finding]:
    """Every timer of ours that is to run at boot runs now."""
    enabled = await asyncio.to_thread(lambda: sorted(link.name for link in WANTS.glob("appliance-*.timer")))
    # By their names: of one that is stopped systemd knows nothing until it is asked.
    found = await show_units(host, *enabled) if enabled else {}
    return [
        warning(
            f"{name} is stopped",
            f"{unit.text('ActiveState')}, and enabled",
            "what it is for is not done until the next boot",
            f"systemctl start {name}",
        )
        for name, unit in found.items()
        if not unit.runs
    ]
