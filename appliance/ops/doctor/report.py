"""What a look at a host came to: made, printed, and as JSON."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from rich.text import Text

from appliance.errors import OperatorError
from appliance.health.finding import Finding, worst
from appliance.ops.doctor.check import in_order, run_checks
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.network import wanted_ports
from appliance.ops.doctor.table import ALL, CHECKS
from appliance.ops.doctor.versions import versions
from appliance.output import page, print_block
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

    from appliance.ops.doctor.check import Outcome


@dataclass(frozen=True, slots=True)
class Report:
    """One look at one host. `began`: unix time; `seconds`: how long it took; `ports`: what is served."""

    began: float
    seconds: float
    outcomes: tuple[Outcome, ...]
    findings: tuple[Finding, ...]
    versions: dict[str, str]
    ports: tuple[int, ...]

    @property
    def exit_code(self) -> int:
        """0 no finding, 1 warnings, 2 something critical."""
        return worst(self.findings)

    def described(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "time": datetime.fromtimestamp(self.began, UTC).isoformat(timespec="milliseconds"),
            "seconds": round(self.seconds, 3),
            "healthy": not self.findings,
            "findings": [finding.described() for finding in self.findings],
            "checks": {outcome.name: round(outcome.seconds, 3) for outcome in self.outcomes},
            "versions": self.versions,
            "ports": list(self.ports),
        }

    def print(self) -> None:
        """For a person, or a pipe."""
        out = page()
        if self.findings:
            print_findings(self.findings)
        count = len(self.outcomes)
        said = "no finding" if not self.findings else f"{len(self.findings)} finding"
        said += "s" if len(self.findings) > 1 else ""
        out.print(Text(f"{said}: {count} check{'' if count == 1 else 's'} in {self.seconds:.1f} s"))


def print_findings(findings: tuple[Finding, ...]) -> None:
    """A block for each; causes stand first."""
    out = page()
    colours = {1: "yellow", 2: "red"}
    for one in findings:
        head = Text.assemble((one.severity.name, f"bold {colours[one.severity]}"), f"  {one.what}")
        if one.follows:
            head.append(f"  (may follow from: {', '.join(one.follows)})", style="dim")
        out.print(head)
        print_block(out, (("seen", one.seen), ("means", one.why), ("mend", one.mend)))


def this_host(file: Path, names: Iterable[str] = ()) -> Host:
    """The host with the settings in `file`; with the defaults, and the reason, where they are refused.

    `names` are those that others have for it.
    """
    try:
        return Host(settings=Settings.load(file), settings_file=file, names=tuple(names))
    except OperatorError as error:
        return Host(settings_error=error.message, settings_file=file, names=tuple(names))


async def examine(host: Host, only: Collection[str] = (), *, checklist: bool = False) -> Report:
    """Looks at `host`; `only`: the names of the checks to make, empty for all; `checklist`: its own too."""
    began, clock = time.time(), time.monotonic()
    usual = ALL if checklist or only else CHECKS
    checks = [check for check in usual if not only or check.name in only]
    outcomes, known = await asyncio.gather(run_checks(checks, host), versions(host))
    ports = sorted({port.number for port in wanted_ports(host) if port.public})
    findings = in_order(ALL, outcomes)
    return Report(began, time.monotonic() - clock, tuple(outcomes), tuple(findings), known, tuple(ports))
