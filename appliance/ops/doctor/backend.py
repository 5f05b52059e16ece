"""The customer's backend: whether it can be reached, and takes what it is told."""

from __future__ import annotations

import asyncio
import ssl
import time
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical, warning
from appliance.ops.doctor.valkey import asked
from appliance.state.events import Events
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

_SLOW_S: Final = 1.0
_BACKLOG: Final = 100
"""Events that wait for the backend: more than a burst of publishes and ends makes."""


async def backend(host: Host) -> list[Finding]:
    """The backend's address can be reached, quickly, and shows a good certificate. Nothing is asked of it."""
    address = host.settings.http_callback_url
    if not address:
        return []
    parts = urlsplit(address)
    tls = parts.scheme == "https"
    context = ssl.create_default_context() if tls else None
    where = f"{parts.hostname} port {parts.port or (443 if tls else 80)}"
    began = time.monotonic()
    try:
        async with asyncio.timeout(3):
            _, writer = await asyncio.open_connection(
                parts.hostname, parts.port or (443 if tls else 80), ssl=context
            )
        writer.close()
    except TimeoutError:
        return [unreachable_backend(where, "no answer within 3 s")]
    except OSError as error:
        return [unreachable_backend(where, error.strerror or str(error))]
    took = time.monotonic() - began
    if took > _SLOW_S:
        seen = f"{took:.1f} s for a connection to {where}; allowed is {_SLOW_S:g} s"
        why = "every publisher and viewer waits for it"
        return [warning("the backend is slow", seen, why, "see to the backend, and the way to it: mtr")]
    return []


def unreachable_backend(where: str, reason: str) -> Finding:
    """No connection can be made to the backend."""
    return critical(
        "the backend cannot be reached",
        f"{where}: {reason}",
        "who has to be asked about is refused (callback_when_silent); events wait",
        "see to the backend, its name and its certificate; its address is control_http_callback_url",
    )


async def events(host: Host) -> list[Finding]:
    """The backend takes what it is told: no dead letter, no long queue."""

    try:
        depth = await asked(host, lambda state: Events(state).depth())
    except (OperatorError, StateUnavailableError):
        return []  # the checks `credentials` and `valkey` say it
    return judge_events(depth.dead, depth.new + depth.pending if host.settings.http_callback_url else 0)


def judge_events(dead: int, waiting: int) -> list[Finding]:
    """What is wrong with `dead` letters and `waiting` events."""
    findings = []
    if dead:
        seen = f"{dead} dead letter{'s' if dead > 1 else ''}; allowed are none"
        why = "the backend never heard of what happened"
        mend = "see them: appliance events dead; tell it again: appliance events replay --all"
        findings.append(warning("the backend did not take events", seen, why, mend))
    if waiting > _BACKLOG:
        seen = f"{waiting} events wait; allowed are {_BACKLOG}"
        why = "the backend hears of everything late"
        mend = "see why: journalctl -u appliance-control --grep deliver; appliance events tail"
        findings.append(warning("events pile up", seen, why, mend))
    return findings
