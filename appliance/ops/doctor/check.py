"""Checks, run beside each other, each with its own time limit, and their findings in the order of causes."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from appliance.health.finding import Finding, warning

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.ops.doctor.host import Host


@dataclass(frozen=True, slots=True)
class Check:
    """One question to the host.

    Parameters
    ----------
    name
        Short, as `--json` and the table show it.
    run
        Answers it; an exception of it becomes a finding.
    after
        Checks whose findings may be the cause of what this one finds.
    seconds
        How long it may take.
    """

    name: str
    run: Callable[[Host], Awaitable[list[Finding]]]
    after: tuple[str, ...] = ()
    seconds: float = 4.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one check found, and how long (s) it took."""

    name: str
    findings: tuple[Finding, ...]
    seconds: float


async def run_checks(checks: Sequence[Check], host: Host) -> list[Outcome]:
    """Runs all `checks` at once; the outcomes are in their order. Nothing that a check does ends it."""
    return list(await asyncio.gather(*(_run(check, host) for check in checks)))


async def _run(check: Check, host: Host) -> Outcome:
    began = time.monotonic()
    try:
        async with asyncio.timeout(check.seconds):
            findings = await check.run(host)
    except TimeoutError:
        findings = [broken(check, f"no answer within {check.seconds:g} s")]
    except Exception as error:  # noqa: BLE001 - a check that fails is a finding, whatever it stumbled over
        findings = [broken(check, f"{type(error).__name__}: {error}")]
    named = tuple(finding.of(check.name) for finding in findings)
    return Outcome(check.name, named, time.monotonic() - began)


def broken(check: Check, seen: str) -> Finding:
    """A check failed, or took too long: whatever it looks at, nobody knows."""
    return warning(
        f"the check `{check.name}` could not be made",
        seen,
        "what it looks at may be broken, or the host may be too busy to answer",
        f"see what the host does (top), then look again: appliance doctor --only {check.name}",
    )


def in_order(checks: Sequence[Check], outcomes: Sequence[Outcome]) -> list[Finding]:
    """All findings, causes first: what follows from nothing, the worst first; then what may follow from it.

    A finding follows from another when its check names the other's, directly or by way of others, and the
    other is at least as bad: a warning explains no failure.
    """
    causes = {check.name: check.after for check in checks}
    found: dict[str, int] = {
        outcome.name: max(finding.severity for finding in outcome.findings)
        for outcome in outcomes
        if outcome.findings
    }
    place = {check.name: number for number, check in enumerate(checks)}
    findings = []
    for outcome in outcomes:
        before = _all_before(outcome.name, causes)
        for finding in outcome.findings:
            follows = tuple(
                name for name in causes if name in before and found.get(name, 0) >= finding.severity
            )
            findings.append(replace(finding, follows=follows))
    return sorted(findings, key=lambda one: (len(one.follows) > 0, -one.severity, place[one.check]))


def _all_before(name: str, causes: dict[str, tuple[str, ...]]) -> set[str]:
    """Every check that `name` comes after."""
    seen: set[str] = set()
    ahead = list(causes[name])
    while ahead:
        one = ahead.pop()
        if one not in seen:
            seen.add(one)
            ahead += causes[one]
    return seen
