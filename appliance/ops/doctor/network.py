"""Who listens where."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from socket import AF_INET
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

import psutil

from appliance.health.finding import Finding, critical
from appliance.ops.doctor.host import NGINX_UNITS
from appliance.ops.doctor.units import NEEDED

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

_SYSTEMD: Final = "init.scope"
"""Where process 1 is, which holds the control service's socket."""


@dataclass(frozen=True, slots=True)
class Port:
    """A TCP port that a unit is to listen on; `public`: encoders or viewers come by it."""

    number: int
    unit: str
    public: bool


@dataclass(frozen=True, slots=True)
class Holder:
    """Who listens on a port: a process and the unit that it belongs to, empty where nobody can say."""

    number: int
    process: str
    unit: str


def wanted_ports(host: Host) -> list[Port]:
    """The ports of this host's services, as their configurations have them."""
    found = [
        Port(listen.port, unit, listen.public)
        for name, unit in NGINX_UNITS.items()
        for listen in host.listens(name)
    ]
    control = urlsplit(host.settings.control_url).port
    return [*found, Port(control or 8000, "appliance-control.service", public=False)]


async def _holders(host: Host) -> dict[int, list[Holder]]:
    return await host.once("holders", lambda: asyncio.to_thread(_listening))


def _listening() -> dict[int, list[Holder]]:
    found: dict[int, list[Holder]] = {}
    for one in psutil.net_connections(kind="tcp"):
        if one.status == psutil.CONN_LISTEN and one.laddr:
            found.setdefault(one.laddr.port, []).append(_holder(one.laddr.port, one.pid))
    return found


def _holder(port: int, pid: int | None) -> Holder:
    if pid is None:
        return Holder(port, "", "")
    try:
        name = psutil.Process(pid).name()
        group = Path("/proc", str(pid), "cgroup").read_text().strip().rpartition("::")[2]
    except (psutil.Error, OSError):
        return Holder(port, "", "")
    return Holder(port, f"{name} (process {pid})", group.rpartition("/")[2] or _SYSTEMD)


async def taken_ports(host: Host) -> list[Finding]:
    """No port of ours is held by a stranger."""
    return judge_holders(wanted_ports(host), await _holders(host))


def judge_holders(ports: list[Port], holders: dict[int, list[Holder]]) -> list[Finding]:
    """Which ports strangers hold."""
    findings = []
    for port in ports:
        for holder in holders.get(port.number, []):
            if holder.unit and holder.unit not in {port.unit, _SYSTEMD}:
                findings.append(
                    critical(
                        f"port {port.number} is taken",
                        f"{holder.process} of {holder.unit} listens there; allowed is {port.unit}",
                        f"{port.unit} cannot start: {NEEDED[port.unit]}",
                        f"end it (systemctl stop {holder.unit}), then: systemctl restart {port.unit}",
                    )
                )
                break
    return findings


async def ports(host: Host) -> list[Finding]:
    """Somebody listens on every port, and answers on the host's own address where it is public."""
    wanted, holders = wanted_ports(host), await _holders(host)
    findings = judge_ports(wanted, holders)
    missing = {port.number for port in wanted if port.number not in holders}
    address = _own_address()
    public = [port for port in wanted if port.public and port.number not in missing]
    answers = await asyncio.gather(*(_connects(address, port.number) for port in public))
    for port, answer in zip(public, answers, strict=True):
        if answer is not None:
            findings.append(
                critical(
                    f"port {port.number} takes no connection",
                    f"{address} port {port.number}: {answer}",
                    NEEDED[port.unit],
                    f"systemctl restart {port.unit}; see why: journalctl -u {port.unit} -n 50",
                )
            )
    return findings


def judge_ports(ports: list[Port], holders: dict[int, list[Holder]]) -> list[Finding]:
    """Which ports nobody listens on."""
    return [
        critical(
            f"nobody listens on port {port.number}",
            f"{port.unit} should",
            NEEDED[port.unit],
            f"systemctl restart {port.unit}; see why: journalctl -u {port.unit} -n 50",
        )
        for port in ports
        if port.number not in holders
    ]


def _own_address() -> str:
    """An IPv4 address of the host that is not loopback, else loopback."""
    found = [one for each in psutil.net_if_addrs().values() for one in each if one.family is AF_INET]
    return next((one.address for one in found if not one.address.startswith("127.")), "127.0.0.1")


async def _connects(address: str, port: int) -> str | None:
    """Why no connection can be made; None when one can."""
    try:
        async with asyncio.timeout(2):
            _, writer = await asyncio.open_connection(address, port)
    except TimeoutError:
        return "no answer within 2 s"
    except OSError as error:
        return error.strerror or str(error)
    writer.close()
    return None
