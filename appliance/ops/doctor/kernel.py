"""The kernel's settings and tables: sysctls, open files, the clock."""

from __future__ import annotations

import asyncio
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from appliance.health.finding import Finding, critical, warning
from appliance.ops.doctor.units import ask_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.ops.doctor.host import Host

OFFSET_WARNING_S: Final = 0.25
_OFFSET_CRITICAL_S: Final = 5.0
"""View tokens and EXT-X-PROGRAM-DATE-TIME are as good as the clock; a second is nothing to a player. The
lower one is that of the alert ClockWrong."""


async def sysctls(host: Host) -> list[Finding]:
    """The kernel runs with what the role `tuning` configured."""
    return await asyncio.to_thread(_look_at_sysctls, host)


def _look_at_sysctls(host: Host) -> list[Finding]:
    try:
        text = host.sysctl_file.read_text()
    except OSError as error:
        seen, why = error.strerror or "?", "kernel settings are gone with the next boot"
        return [warning(f"{host.sysctl_file} cannot be read", seen, why, "run playbooks/site.yml again")]
    wanted = parse_sysctls(text)
    running = {}
    for key in wanted:
        path = Path("/proc/sys", key.replace(".", "/"))
        # What a container cannot set is the machine's, and the role skipped it as well.
        if path.exists() and (os.access(path, os.W_OK) or not host.container()):
            running[key] = " ".join(path.read_text().split())
    if host.container() and (congestion := "net.ipv4.tcp_congestion_control") in running:
        available = Path("/proc/sys/net/ipv4/tcp_available_congestion_control").read_text().split()
        if wanted[congestion] not in available:
            del running[congestion]
    return judge_sysctls(wanted, running, host.sysctl_file)


def parse_sysctls(text: str) -> dict[str, str]:
    """Keys and values of a file of sysctl.d(5)."""
    lines = (line.partition("=") for line in text.splitlines() if not line.lstrip().startswith(("#", ";")))
    return {key.strip(): " ".join(value.split()) for key, separator, value in lines if separator}


def judge_sysctls(wanted: Mapping[str, str], running: Mapping[str, str], file: Path) -> list[Finding]:
    """What runs with other values than those wanted."""
    other = {key: value for key, value in running.items() if value != wanted[key]}
    if not other:
        return []
    seen = "; ".join(f"{key} is {value}, configured is {wanted[key]}" for key, value in other.items())
    return [
        warning(
            f"{len(other)} kernel setting{'s' if len(other) > 1 else ''} of {file.name} not in force",
            seen,
            "connections are dropped earlier, or run slower, than the host was built for",
            f"sysctl --load {file}; if it comes back, another file sets it: grep -r KEY /etc/sysctl.d",
        )
    ]


async def open_files(host: Host) -> list[Finding]:
    """Nobody is near the bound of its open files."""
    found = await ask_units(host)
    main = {name: unit.number("MainPID") for name, unit in found.items() if unit.number("MainPID")}
    return await asyncio.to_thread(_look_at_files, main)


def _look_at_files(main: dict[str, int]) -> list[Finding]:
    findings = []
    for name, pid in main.items():
        counted = [count for process in _family(pid) if (count := _count(process)) is not None]
        if counted:
            used, most, number = max(counted, key=lambda one: one[0] / one[1])
            findings += judge_files(f"{name} (process {number})", used, most)
    used, _, most = (int(word) for word in Path("/proc/sys/fs/file-nr").read_text().split())
    return findings + judge_files("the whole machine", used, most)


def _count(process: psutil.Process) -> tuple[int, int, int] | None:
    """Open files, their bound, and the process's number; None when it has ended."""
    try:
        return process.num_fds(), max(1, process.rlimit(psutil.RLIMIT_NOFILE)[0]), process.pid
    except psutil.Error:
        return None


def _family(pid: int) -> list[psutil.Process]:
    """The process and what it started."""
    try:
        main = psutil.Process(pid)
        return [main, *main.children(recursive=True)]
    except psutil.Error:
        return []


def judge_files(who: str, used: int, most: int) -> list[Finding]:
    """What is wrong with `used` open files of `most`."""
    if most <= 0 or used < 0.8 * most:
        return []
    make = critical if used >= 0.85 * most else warning
    return [
        make(
            f"open files run out: {who}",
            f"{used} of {most}; allowed is less than 80 %",
            "beyond the bound no viewer and no publisher gets a connection",
            "fewer viewers on this host, or raise delivery_worker_connections, ingest_worker_connections or "
            "tuning_open_files_soft",
        )
    ]


async def clock(host: Host) -> list[Finding]:
    """The clock is right, as far as the host can know; a container's is the machine's."""
    if host.container():
        return []
    show, offset = await asyncio.gather(
        host.run("timedatectl", "show"), host.run("timedatectl", "timesync-status")
    )
    return judge_clock(show.text, offset.text)


def judge_clock(show: str, status: str) -> list[Finding]:
    """`show` as `timedatectl show` prints it, `status` as `timedatectl timesync-status` (timedatectl(1))."""
    properties = dict(line.split("=", 1) for line in show.splitlines() if "=" in line)
    mend = "see why: timedatectl timesync-status; systemctl restart systemd-timesyncd; base_ntp_servers"
    why = "tokens end early or late, players wait in the wrong place, logs of hosts do not fit each other"
    if properties.get("NTPSynchronized") == "no":
        seen = "no time server was heard" if properties.get("NTP") == "yes" else "time service is off"
        return [warning("the clock is not synchronised", seen, why, mend)]
    offset = parse_offset(status)
    if offset is not None and abs(offset) > OFFSET_WARNING_S:
        make = critical if abs(offset) > _OFFSET_CRITICAL_S else warning
        seen = f"{offset:+.3f} s off the time server; allowed is {OFFSET_WARNING_S:g} s"
        return [make("the clock is wrong", seen, why, mend)]
    return []


_UNITS: Final = {"us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0, "d": 86_400.0}


def parse_offset(status: str) -> float | None:
    """Seconds of `Offset: +1min 2.5s` (systemd's way to write a time span); None where there is none."""
    found = re.search(r"^\s*Offset:\s*([+-]?)(.+)$", status, re.MULTILINE)
    parts = re.findall(r"([\d.]+)(us|ms|min|s|h|d)", found[2]) if found else []
    if found is None or not parts:
        return None
    return (-1 if found[1] == "-" else 1) * sum(float(value) * _UNITS[unit] for value, unit in parts)
