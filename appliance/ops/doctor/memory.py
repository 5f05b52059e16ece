"""Memory: what is left, and what the kernel killed to get some."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import psutil

from appliance.health.finding import Finding, critical, warning
from appliance.ops.doctor.units import ask_units
from appliance.output import span

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.units import Unit

_KILLED_MESSAGE: Final = "fe6faa94e7774663a0da52717891d8ef"
"""What systemd says of each unit that the kernel has killed a process of (SD_MESSAGE_UNIT_OUT_OF_MEMORY of
systemd's sd-messages.h)."""


async def memory(host: Host) -> list[Finding]:
    """Memory is left, nothing was killed for want of it."""
    found = await ask_units(host)
    state, swap = psutil.virtual_memory(), psutil.swap_memory()
    findings = judge_memory(state.total, state.available, swap.total, swap.used)
    for unit in found.values():
        kills = _oom_kills(unit)
        recent = kills > 0 and await _killed_lately(host, unit)
        findings += judge_oom(unit, kills, time.monotonic(), recent=recent)
    kernel = await host.run("journalctl", "-k", "-q", "-o", "cat", "--since", "-1h", "-n", "2000")
    return findings + judge_kernel(kernel.text)


def judge_memory(total: int, available: int, swap: int, swapped: int) -> list[Finding]:
    """What is wrong with the memory (bytes)."""
    mib = 1 << 20
    findings = []
    if available < 0.05 * total:
        findings.append(
            critical(
                "memory runs out",
                f"{available // mib} of {total // mib} MiB are available; 5 % or more are wanted",
                "the kernel ends a stream, or worse, to get some",
                "see who takes it: systemd-cgtop -m; fewer streams, a smaller ladder, or more memory",
            )
        )
    if swap and swapped > 0.5 * swap:
        seen = f"{swapped // mib} of {swap // mib} MiB of swap used"
        why = "media lies in memory, and waits for the disk when it was swapped out"
        findings.append(warning("the host swaps", seen, why, "see who takes the memory: systemd-cgtop -m"))
    return findings


def _oom_kills(unit: Unit) -> int:
    """How often the kernel killed a process of the unit for its memory (cgroup v2, memory.events)."""
    if not unit.text("ControlGroup"):
        return 0
    try:
        text = Path("/sys/fs/cgroup", unit.text("ControlGroup").lstrip("/"), "memory.events").read_text()
    except OSError:
        return 0
    found = re.search(r"^oom_kill (\d+)$", text, re.MULTILINE)
    return int(found[1]) if found else 0


async def _killed_lately(host: Host, unit: Unit) -> bool:
    """Whether a process of the unit was killed in the last hour: the count is one since the unit began."""
    words = ("journalctl", "-u", unit.name, "-q", "-o", "cat", "--since", "-1h", "-n", "1")
    answer = await host.run(*words, f"MESSAGE_ID={_KILLED_MESSAGE}")
    return bool(answer.text.strip())


def judge_oom(unit: Unit, kills: int, now: float, *, recent: bool) -> list[Finding]:
    """What was killed of a unit for its memory.

    Parameters
    ----------
    kills
        How many of its processes, since it began.
    now
        Monotonic seconds.
    recent
        Whether one was killed in the last hour.
    """
    if kills == 0 and unit.text("Result") != "oom-kill":
        return []
    mend = "raise its bound (origin_stream_memory_max, control_memory_max), or take a smaller ladder"
    if recent or unit.text("Result") == "oom-kill":
        return [
            critical(
                f"{unit.name} was out of memory",
                f"the kernel killed {max(kills, 1)} of its processes"
                f"{', the last one less than an hour ago' if recent else ''}",
                "what the process was for broke off, and does so again at the next occasion",
                f"{mend}; see: journalctl -u {unit.name}",
            )
        ]
    ago = span(max(0.0, now - unit.number("ActiveEnterTimestampMonotonic") / 1e6))
    return [
        warning(
            f"{unit.name} was out of memory once",
            f"the kernel killed {kills} of its processes since it began {ago} ago, none in the last hour",
            "what the process was for broke off, and may do so again",
            f"{mend}; the count begins anew with: systemctl restart {unit.name}",
        )
    ]


def judge_kernel(text: str) -> list[Finding]:
    """What the kernel's messages of the last hour say of killed processes and broken disks."""
    findings = []
    killed = re.findall(r"Out of memory: Killed process \d+ \(([^)]*)\)", text)
    if killed:
        findings.append(
            critical(
                "the machine was out of memory",
                f"the kernel killed {', '.join(dict.fromkeys(killed))} in the last hour",
                "streams break off, services start anew",
                "see who takes it: journalctl -k --grep 'Out of memory'; systemd-cgtop -m",
            )
        )
    faults = re.findall(r"(?:I/O error, dev \w+|EXT4-fs error[^\n]*|Remounting filesystem read-only)", text)
    if faults:
        why = "what is written may be lost"
        findings.append(critical("a disk fails", faults[-1], why, "journalctl -k -p err; replace the disk"))
    return findings
