"""What the hosts themselves say, over SSH: the doctor's checks, and those of its CHECKLIST."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from appliance.ops.doctor.table import CHECKLIST
from appliance.ops.fleet.examine import HostReport, NotDeployedError, between_hosts, examine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.health.finding import Finding
    from appliance.ops.fleet.everywhere import Result
    from appliance.ops.fleet.session import Session
    from appliance.ops.preflight.inventory import Inventory


@dataclass(frozen=True, slots=True)
class NotDeployed:
    """A host that was reached, and that the playbooks have not made a streaming host yet."""


def look(session: Session, *, seconds: float) -> HostReport | NotDeployed:
    """Has the host look at itself, certificate's names included. Raises UnreachableError."""
    target = session.target
    known = dict.fromkeys((target.name, *([target.way.host] if target.way else [])))
    words = ["--checklist", *(word for name in known for word in ("--name", name))]
    try:
        return examine(session, seconds=seconds, words=words)
    except NotDeployedError:
        return NotDeployed()


def said(results: Sequence[Result[HostReport | NotDeployed]]) -> dict[str, list[Finding]]:
    """All findings of each host that is a streaming host, or was not reached."""
    asked = [result for result in results if not isinstance(result.value, NotDeployed)]
    reports = cast("list[Result[HostReport]]", asked)
    between = between_hosts(reports)
    return {
        one.target.name: [*(one.value.findings if one.value else ()), *between[one.target.name]]
        for one in reports
    }


_OF_HOST = frozenset(check.name for check in CHECKLIST)


def together(planned: Inventory, seen: dict[str, list[Finding]]) -> dict[str, list[Finding]]:
    """By host, what inventory and host say: the same of both once, and nothing that is meant so."""
    found = {}
    for host, beforehand in planned.hosts.items():
        now = [one for one in seen.get(host, ()) if one.check not in planned.accepted[host] & _OF_HOST]
        names = {(one.check, one.what) for one in now}
        both = [*now, *(one for one in beforehand if (one.check, one.what) not in names)]
        found[host] = sorted(both, key=lambda one: (len(one.follows) > 0, -one.severity))
    return found
