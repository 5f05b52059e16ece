"""What systemd says of our units: whether they run, and which had to be started again."""

from __future__ import annotations

import asyncio
import itertools
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning
from appliance.health.stream import NVENC_MEND

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
_AGAIN: Final = 3
"""So many times without running in between is again and again: one that was ended once comes back sooner."""
_ERROR: Final = "appliance: "
"""What the words begin with that a command of ours ends with; what mends it follows, indented."""
_LINES: Final = "12"
"""So many back such words may stand: a start that fails says fewer, a run that worked says more."""
_LONGEST: Final = 400
_ENDED: Final = ("has failed", "ends again and again")


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

    @property
    def ends_again(self) -> bool:
        """Whether it ends again and again, whatever it does at this moment."""
        return self.text("ActiveState") == "activating" and self.number("NRestarts") >= _AGAIN

    @property
    def restarted(self) -> str:
        """How often systemd has started it again, in words."""
        times = self.number("NRestarts")
        return f"started again {'once' if times == 1 else f'{times} times'}"

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
    broken = {finding.what.split()[0] for finding in findings if finding.what.endswith(_ENDED)}
    words = await asyncio.gather(*(last_words(host, name) for name in broken))
    said = dict(zip(broken, words, strict=True))
    told = []
    for finding in findings:
        name = finding.what.split()[0]
        told.append(with_words(finding, said[name], host.settings.encoder) if name in said else finding)
    return told


def with_words(finding: Finding, words: str, encoder: str) -> Finding:
    """A finding about a unit that has ended, with its last words; `encoder` is the setting.

    A stream whose encoder does not work is told so where it names it, and where it says nothing.
    """
    seen = f"{finding.seen}; its last words: {words}" if words else finding.seen
    by_encoder = "stream@" in finding.what and encoder == "nvenc" and (not words or "nvenc" in words)
    return replace(finding, seen=seen, mend=f"{NVENC_MEND}; {finding.mend}" if by_encoder else finding.mend)


async def last_words(host: Host, unit: str) -> str:
    """What a unit itself wrote last into the journal; empty when that cannot be read."""
    answer = await host.run(
        "journalctl", "-u", unit, "-n", _LINES, "-o", "cat", "-q", f"_SYSTEMD_UNIT={unit}"
    )
    return read_words(answer.text)


def read_words(text: str) -> str:
    """The error of a command of ours, with what mends it, where one stands in `text`; else its last line.

    It need not be the last line: one that was started again meanwhile has its own first words behind it.
    """
    lines = text.strip().splitlines()
    errors = [number for number, line in enumerate(lines) if line.startswith(_ERROR)]
    if not errors:
        return lines[-1].strip()[:_LONGEST] if lines else ""
    last = errors[-1]
    hints = itertools.takewhile(lambda line: line.startswith("  "), lines[last + 1 :])
    said = "; ".join([lines[last].removeprefix(_ERROR), *(line.strip() for line in hints)])
    return said[:_LONGEST]


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
        elif unit.ends_again:
            mend = f"see why: {look}; then: systemctl restart {name}"
            findings.append(critical(f"{name} ends again and again", f"{state}, {unit.restarted}", why, mend))
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
