"""Valkey: whether it answers, may be written to, has room, and keeps its log."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from appliance.errors import OperatorError
from appliance.health.finding import Finding, critical, warning
from appliance.secrets.credentials import VALKEY_PASSWORD
from appliance.secrets.rotating import read_newest
from appliance.state.registry import Registry
from appliance.state.valkey import State, StateUnavailableError, translated

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from appliance.ops.doctor.host import Host

T = TypeVar("T")

_SLOW_S: Final = 0.1
_LAG_S: Final = 10
_PAGE: Final = 500
_SEE: Final = "see why: systemctl status valkey-server; journalctl -u valkey-server -n 50"
_RESTART: Final = f"systemctl restart valkey-server, which ends one that hangs, and keeps its data; {_SEE}"


async def asked(host: Host, ask: Callable[[State], Awaitable[T]]) -> T:
    """What `ask` gives of this host's Valkey. Raises StateUnavailableError and OperatorError."""
    read_newest(
        host.credentials, VALKEY_PASSWORD
    )  # one that is missing is another finding than a silent Valkey
    state = State(
        Path(host.settings.valkey_socket),
        lambda: read_newest(host.credentials, VALKEY_PASSWORD),
        name="appliance-doctor",
    )
    try:
        return await ask(state)
    finally:
        await state.close()


async def registered(host: Host) -> list[str] | None:
    """The names of the registered streams; None where Valkey does not tell them."""

    async def ask(state: State) -> list[str]:
        names: list[str] = []
        while page := await Registry(state).page(after=names[-1] if names else "", limit=_PAGE):
            names += [stream.name for stream in page]
        return names

    try:
        return await asked(host, ask)
    except (OperatorError, StateUnavailableError):
        return None  # the checks `credentials` and `valkey` say it


async def valkey(host: Host) -> list[Finding]:
    """Valkey answers quickly, may be written to, has room, and keeps its log."""

    async def ask(state: State) -> tuple[Mapping[str, Any], float]:
        with translated():
            found = await state.client.info("everything")
        # The quickest of three: this host's other checks run at the same time.
        return found, min([await _took(state) for _ in range(3)])

    try:
        info, seconds = await asked(host, ask)
    except OperatorError:
        return []  # the check `credentials` says it
    except StateUnavailableError as error:
        return [silent_valkey(host.settings.valkey_socket, str(error).removeprefix("Valkey: "))]
    return judge_valkey(info, seconds)


async def _took(state: State) -> float:
    began = time.monotonic()
    await state.ping()
    return time.monotonic() - began


def silent_valkey(socket: str, reason: str) -> Finding:
    """Valkey does not answer: `reason` in its own words, or those of the system."""
    refused = any(word in reason.lower() for word in ("password", "noauth", "wrongpass"))
    mend = "give it the password of this host again: run playbooks/site.yml" if refused else _RESTART
    why = "new publishers are refused, sessions and events are not counted; what runs runs on"
    return critical("Valkey does not answer", f"{socket}: {reason}", why, mend)


def judge_valkey(info: Mapping[str, Any], seconds: float) -> list[Finding]:
    """What is wrong with a Valkey that answers; `info` as its command INFO gives it."""
    findings = []
    if seconds > _SLOW_S:
        seen = f"a PING took {seconds:.2f} s; allowed is {_SLOW_S:g} s"
        why = "each decision about a publisher waits for it, and is refused after 1 s"
        findings.append(
            warning("Valkey is slow", seen, why, "see what it does: appliance valkey SLOWLOG GET; top")
        )
    used, most = int(info.get("used_memory", 0)), int(info.get("maxmemory", 0))
    if most and used > 0.8 * most:
        full = used > 0.95 * most
        make = critical if full else warning
        seen = f"{used >> 10} of {most >> 10} KiB; at the bound it refuses writes"
        why = "no publisher is let in then"
        findings.append(
            make(f"Valkey is {'' if full else 'nearly '}full", seen, why, "raise valkey_maxmemory")
        )
    if info.get("role") == "slave":
        findings += _judge_replica(info)
    if info.get("aof_enabled") == 0:
        seen, mend = "appendonly no", "systemctl restart valkey-server; see /etc/valkey/appliance.conf"
        why = "after a restart registered streams, keys and events are gone"
        findings.append(critical("Valkey writes no log", seen, why, mend))
    elif info.get("aof_last_write_status") == "err":
        seen = f"last write: err, rewrite: {info.get('aof_last_bgrewrite_status')}"
        why = "it refuses writes, and no publisher is let in"
        mend = f"df -h /var/lib/valkey; {_SEE}"
        findings.append(critical("Valkey cannot write its log", seen, why, mend))
    elif info.get("aof_last_bgrewrite_status") == "err":
        seen = "last write: ok, rewrite: err"
        why = "the log only grows; when the disk is full Valkey refuses writes, and no publisher is let in"
        mend = f"df -h /var/lib/valkey; then: appliance valkey BGREWRITEAOF; {_SEE}"
        findings.append(warning("Valkey cannot write its log anew", seen, why, mend))
    if info.get("rdb_last_bgsave_status") == "err":
        seen, mend = "last snapshot: err", f"df -h /var/lib/valkey; then: appliance valkey BGSAVE; {_SEE}"
        why = "a copy of what it holds, for a backup or a replica, was not made"
        findings.append(warning("Valkey cannot write a snapshot", seen, why, mend))
    if info.get("maxmemory_policy", "noeviction") != "noeviction":
        seen = f"maxmemory-policy {info['maxmemory_policy']}; allowed is noeviction"
        why = "it throws leases away when it is full, and a second publisher gets in"
        findings.append(warning("Valkey forgets when it is full", seen, why, "run playbooks/site.yml again"))
    clients, bound = int(info.get("connected_clients", 0)), int(info.get("maxclients", 0))
    if bound and clients > 0.8 * bound:
        seen, mend = (
            f"{clients} of {bound}",
            "see whose: appliance valkey CLIENT LIST; raise valkey_maxclients",
        )
        why = "beyond the bound it refuses connections"
        findings.append(warning("Valkey's connections run out", seen, why, mend))
    return findings


def _judge_replica(info: Mapping[str, Any]) -> list[Finding]:
    lag = int(info.get("master_last_io_seconds_ago", -1))
    if info.get("master_link_status") != "up" or lag > _LAG_S:
        seen = f"link to its primary {info.get('master_link_status')}, last heard {lag} s ago"
        why = "what it answers is old"
        return [critical("Valkey is a replica that lags", seen, why, _SEE)]
    seen = f"role replica of {info.get('master_host')}; allowed is the primary"
    why = "it refuses writes, and no publisher is let in"
    return [
        critical(
            "Valkey is a replica", seen, why, "appliance valkey REPLICAOF NO ONE, or run playbooks/site.yml"
        )
    ]
