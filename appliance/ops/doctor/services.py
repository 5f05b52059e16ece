"""The services' own answers: the control service and its parts, ingest and its callbacks."""

from __future__ import annotations

import asyncio
import json
import secrets
from typing import TYPE_CHECKING, Final

import httpx

from appliance.control.stat import IngestStat, StatUnavailableError
from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical
from appliance.media.rtmp.client import RtmpError, RtmpPlayer, RtmpRefusedError, RtmpUrl
from appliance.secrets.credentials import READER_SECRET
from appliance.secrets.rotating import read_newest

if TYPE_CHECKING:
    from appliance.control.stat import IngestStatus
    from appliance.ops.doctor.host import Host

_SECONDS: Final = 2.0
"""How long a service may take to answer: less than a check may, so that its silence has a name."""

_READY_SECONDS: Final = 3.5
"""The same of `/ready`, which itself gives each part two seconds to answer (appliance.control.stat)."""

_SEE_VALKEY: Final = (
    "see why: appliance doctor --only valkey; journalctl -u valkey-server -n 50; then: "
    "systemctl restart valkey-server"
)
_SEE_CONTROL: Final = (
    "see why: systemctl status appliance-control; journalctl -u appliance-control -n 50; then: "
    "systemctl restart appliance-control (what is live goes on)"
)
_SEE_INGEST: Final = (
    "see why: systemctl status appliance-ingest; journalctl -u appliance-ingest -n 50; then: "
    "systemctl restart appliance-ingest (publishers are cut off, and come back)"
)


async def control(host: Host) -> list[Finding]:
    """The control service lives."""
    url = host.settings.control_url
    try:
        status, _ = await _get(url, "/health")
    except httpx.HTTPError as error:
        why = "no publisher is let in, players are given no key"
        seen = f"{url}: {str(error) or type(error).__name__}"
        return [critical("the control service does not answer", seen, why, _SEE_CONTROL)]
    if status != 200:
        seen = f"{url}/health: status {status}"
        return [critical("the control service is not well", seen, "it decides nothing", _SEE_CONTROL)]
    return []


async def parts(host: Host) -> list[Finding]:
    """Every part that the control service needs answers it."""
    try:
        return judge_ready(*(await _get(host.settings.control_url, "/ready", seconds=_READY_SECONDS)))
    except httpx.HTTPError:
        return []  # the check `control` says it


async def _get(url: str, path: str, *, seconds: float = _SECONDS) -> tuple[int, str]:
    """Status and text of the control service's answer. Raises httpx.HTTPError."""
    async with httpx.AsyncClient(base_url=url, timeout=seconds, trust_env=False) as http:
        answer = await http.get(path)
        return answer.status_code, answer.text


_PARTS: Final = {
    "state": ("the control service does not reach Valkey", "new publishers are refused", _SEE_VALKEY),
    "units": (
        "the control service does not reach systemd (over the system bus)",
        "no stream's unit is started",
        "systemctl status dbus polkit",
    ),
    "ingest": (
        "the control service does not reach ingest's /stat",
        "publishers that are gone are noticed late",
        _SEE_INGEST,
    ),
    "backend": (
        "the control service does not reach the backend",
        "who has to be asked about is refused (callback_when_silent)",
        "see how it fails: journalctl -u appliance-control --grep backend; mend the backend",
    ),
}


def judge_ready(status: int, text: str) -> list[Finding]:
    """What `/ready` says of the parts."""
    if status == 200:
        return []
    try:
        parts = dict(json.loads(text)["parts"])
    except (ValueError, KeyError, TypeError):
        why = "nobody knows what it can do"
        return [
            critical("the control service is not ready", f"status {status}: {text[:100]}", why, _SEE_CONTROL)
        ]
    findings = []
    for name, part in parts.items():
        if not part.get("ok"):
            other = f"the control service does not reach {name}"
            what, why, mend = _PARTS.get(name, (other, "it cannot do its work", _SEE_CONTROL))
            seen = str(part.get("detail") or f"breaker {part.get('breaker')}")
            findings.append(critical(what, seen, why, mend))
    return findings


async def ingest_stat(host: Host) -> IngestStatus:
    """Who publishes, by ingest; once for all checks. Raises StatUnavailableError."""

    async def ask() -> IngestStatus:
        client = IngestStat(host.settings.stat_url)
        try:
            return await client.status()
        finally:
            await client.close()

    return await host.once("stat", ask)


async def ingest(host: Host) -> list[Finding]:
    """Ingest tells of its publishers, and takes a reader of ours."""
    statistics, chain = await asyncio.gather(_statistics(host), _chain(host))
    return [*chain, *statistics]


async def _statistics(host: Host) -> list[Finding]:
    try:
        await ingest_stat(host)
    except StatUnavailableError as error:
        why = "publishers that are gone keep their streams' names"
        return [critical("ingest's statistics do not answer", str(error), why, _SEE_INGEST)]
    return []


async def _chain(host: Host) -> list[Finding]:
    """Ingest shakes hands over RTMP, and asks the control service, which knows our readers.

    A reader of a stream that nobody publishes goes the way of every callback: nginx → control → verdict.
    """
    try:
        secret = read_newest(host.credentials, READER_SECRET)
    except OperatorError:
        return []  # the check `credentials` says it
    name = f"doctor-{secrets.token_hex(8)}"
    try:
        player = await RtmpPlayer.play(
            RtmpUrl.parse(host.settings.ingest_url), f"{name}?reader={secret}", timeout_s=_SECONDS
        )
        await player.close()
    except RtmpRefusedError as error:
        return [refused_reader(str(error))]
    except RtmpError as error:
        if "on_play" in str(error):
            return [refused_reader(str(error))]
        why = "no encoder can publish, no stream can be read"
        return [critical("ingest does not speak RTMP", str(error), why, _SEE_INGEST)]
    return []


def refused_reader(reason: str) -> Finding:
    """Ingest answers, and its callback does not say yes."""
    return critical(
        "the callback chain is broken: ingest is refused our own reader",
        reason,
        "the control service did not answer it, or knows another reader secret: no stream is read",
        "see the verdict: journalctl -u appliance-control -n 20 --grep play; "
        "then: systemctl restart appliance-control",
    )
