"""What systemd says of our units: whether they run, and which had to be started again."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning

if TYPE_CHECKING:
    from appliance.ops.doctor.host import Host

NEEDED: Final = {
    "valkey-server.service": "new publishers are refused, sessions and events are not counted",
    "appliance-control.socket": "nobody can ask the control service: no publisher and no key is let through",
    "appliance-control.service": "no publisher is let in, and players are given no key",
    "appliance-ingest.service": "no encoder can publish",
    "appliance-delivery.service": "nobody can watch",
}
"""Units without which a host does not do its work, and what that means; causes before consequences."""

FIREWALL_UNIT: Final = "appliance-firewall.service"

_PATTERNS: Final = ("appliance-*", "stream@*")
_PROPERTIES: Final = (
    "Id", "LoadState", "ActiveState", "SubState", "Result", "NRestarts", "MainPID", "ControlGroup",
    "ActiveEnterTimestampMonotonic", "StateChangeTimestampMonotonic", "UnitFileState", "NeedDaemonReload",
)  # fmt: skip
_RECENT_S: Final = 900.0
"""A unit that had to be started again so long ago is still told of: who was woken by it has come by then."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as `systemctl show` tells of it (systemctl(1)); a text is empty where nothing is told."""

    name: str
    properties: dict[str, str]

    def text(self, name: str) -> str:
        """A property."""
        return self.properties.get(name, "")

    def number(self, name: str) -> int:
        """A property that is a number; 0 where it is none."""
        found = self.text(name)
        return int(found) if found.isascii() and found.isdigit() else 0

    @property
    def runs(self) -> bool:
        """Whether it does its work."""
        return self.text("ActiveState") in {"active", "reloading"}

    def seconds(self, now: float) -> float:
        """For how long it has been in its state; `now` is monotonic seconds."""
        return now - self.number("StateChangeTimestampMonotonic") / 1e6


def parse_units(text: str) -> dict[str, Unit]:
    """What `systemctl show --property=…` printed of several units, by their names."""
    found = {}
    for block in text.strip().split("\n\n"):
        lines = (line.partition("=") for line in block.splitlines())
        properties = {name: value for name, separator, value in lines if separator}
        if "Id" in properties:
            found[properties["Id"]] = Unit(properties["Id"], properties)
    return found


async def ask_units(host: Host) -> dict[str, Unit]:
    """Our units, once for all checks. Raises OSError when systemd says nothing."""
    return await host.once("units", lambda: _ask_units(host))


async def _ask_units(host: Host) -> dict[str, Unit]:
    return await show_units(host, *NEEDED, FIREWALL_UNIT, *_PATTERNS)


async def show_units(host: Host, *names: str) -> dict[str, Unit]:
    """The units of these names, and those that systemd has loaded of these patterns. Raises OSError."""
    answer = await host.run("systemctl", "show", f"--property={','.join(_PROPERTIES)}", *names)
    found = parse_units(answer.text)
    if not found:
        raise OSError(f"systemctl show: {answer.said}")
    return found


async def units(host: Host) -> list[Finding]:
    """Every needed unit runs, none has failed, none had to be started again a moment ago."""
    found = await ask_units(host)
    findings = judge_units(found, time.monotonic())
    # Who was stopped has nothing to say of it.
    broken = {finding.what.split()[0] for finding in findings if finding.what.endswith("has failed")}
    words = await asyncio.gather(*(_last_words(host, name) for name in broken))
    said = dict(zip(broken, words, strict=True))
    return [_with_words(finding, said.get(finding.what.split()[0], "")) for finding in findings]


def _with_words(finding: Finding, words: str) -> Finding:
    return replace(finding, seen=f"{finding.seen}; its last words: {words}") if words else finding


async def _last_words(host: Host, unit: str) -> str:
    """The last line of a unit in the journal that the unit itself wrote."""
    answer = await host.run("journalctl", "-u", unit, "-n", "1", "-o", "cat", "-q", f"_SYSTEMD_UNIT={unit}")
    return answer.text.strip().splitlines()[-1][:300] if answer.text.strip() else ""


def judge_units(found: dict[str, Unit], now: float) -> list[Finding]:
    """What is wrong with the units; `now` is monotonic seconds, as systemd's own times are."""
    findings = []
    for name, unit in _needed_first(found):
        why = NEEDED.get(name, "what it is for is not done")
        look = f"journalctl -u {name} -n 50"
        state = f"{unit.text('ActiveState')} ({unit.text('SubState')}), result {unit.text('Result') or '?'}"
        if unit.text("LoadState") == "not-found":
            if name in NEEDED:
                mend = "run playbooks/site.yml"
                findings.append(critical(f"{name} is not installed", "systemd knows none", why, mend))
        elif unit.text("LoadState") == "masked" or unit.text("UnitFileState") == "masked":
            mend = f"systemctl unmask {name}; systemctl start {name}"
            findings.append(critical(f"{name} is masked", state, why, mend))
        elif unit.text("ActiveState") == "failed" or unit.text("SubState") == "auto-restart":
            mend = f"see why: {look}; then: systemctl restart {name}"
            findings.append(critical(f"{name} has failed", state, why, mend))
        elif name in NEEDED and not unit.runs:
            findings.append(
                critical(f"{name} does not run", state, why, f"systemctl start {name}; see why: {look}")
            )
        elif name in NEEDED and unit.text("UnitFileState") == "disabled":
            why = f"after the next boot it is gone: {why}"
            findings.append(warning(f"{name} is not enabled", "disabled", why, f"systemctl enable {name}"))
        findings += _restarted(unit, now)
        if unit.text("NeedDaemonReload") == "yes":
            seen = "its file is newer than what systemd has read"
            why = "it runs by its old description until somebody restarts it"
            findings.append(warning(f"{name} has changed", seen, why, "systemctl daemon-reload"))
    return findings


def _needed_first(found: dict[str, Unit]) -> list[tuple[str, Unit]]:
    absent = {"LoadState": "not-found"}
    needed = [(name, found.get(name, Unit(name, absent))) for name in NEEDED]
    return [*needed, *((name, unit) for name, unit in sorted(found.items()) if name not in NEEDED)]


def _restarted(unit: Unit, now: float) -> list[Finding]:
    times, since = unit.number("NRestarts"), now - unit.number("ActiveEnterTimestampMonotonic") / 1e6
    if not unit.runs or times == 0 or since > _RECENT_S:
        return []
    return [
        warning(
            f"{unit.name} had to be started again",
            f"{'once' if times == 1 else f'{times} times'} since it was started by hand or at boot, "
            f"the last time {since:.0f} s ago",
            "whatever ended it may do so again",
            f"see why: journalctl -u {unit.name} -n 200",
        )
    ]
