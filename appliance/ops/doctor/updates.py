"""Security updates: whether they come by themselves, and whether one waits for a reboot."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, warning
from appliance.ops.doctor.units import show_units

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.units import Unit

_TIMERS: Final = ("apt-daily.timer", "apt-daily-upgrade.timer")
_SWITCH: Final = "APT::Periodic::Unattended-Upgrade"
_REBOOT: Final = Path("/run/reboot-required")


async def updates(host: Host) -> list[Finding]:
    """Security updates come by themselves, and none waits for a reboot."""
    apt, timers = await asyncio.gather(
        host.run("apt-config", "dump", "--format", "%f %v%n", _SWITCH), show_units(host, *_TIMERS)
    )
    return judge_updates(apt.text, timers, reboot=_REBOOT.exists())


def judge_updates(apt: str, timers: Mapping[str, Unit], *, reboot: bool) -> list[Finding]:
    """`apt` as apt-config(8) prints the switch; `reboot`: an update asked for one."""
    findings = []
    stopped = [name for name in _TIMERS if name not in timers or not timers[name].runs]
    switch = re.search(rf"^{re.escape(_SWITCH)} (\S+)$", apt, re.MULTILINE)
    value = switch[1] if switch else "not set"
    if stopped or value in {"0", "not set"}:
        seen = f"{_SWITCH} {value}" + (f"; {', '.join(stopped)} stopped" if stopped else "")
        why = "known holes stay open until somebody thinks of them"
        start = f"; systemctl enable --now {' '.join(stopped)}" if stopped else ""
        mend = f"base_security_upgrades: true, and run playbooks/site.yml{start}"
        findings.append(warning("security updates are off", seen, why, mend))
    if reboot:
        why = "the hole that the update closes is open until then"
        seen, mend = f"{_REBOOT} is there", "when nobody publishes: systemctl reboot"
        findings.append(warning("an update waits for a reboot", seen, why, mend))
    return findings
