"""Checks beside each other: none ends another, and what is found stands in the order of causes."""

from __future__ import annotations

import asyncio
import graphlib
import time

from appliance.health.finding import Finding, Severity, critical, warning, worst
from appliance.ops.doctor.check import Check, Outcome, in_order, run_checks
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.table import ALL


async def nothing(_: Host) -> list[Finding]:
    return []


async def broken(_: Host) -> list[Finding]:
    raise ZeroDivisionError("by\x1b[31mzero")


async def slow(_: Host) -> list[Finding]:
    await asyncio.sleep(60)
    return []


def bad(name: str, severity: Severity = Severity.CRITICAL) -> Outcome:
    return Outcome(name, (Finding(what=name, seen="", why="", mend="", severity=severity, check=name),), 0.0)


async def test_a_check_that_fails_or_hangs_is_a_finding_and_keeps_nobody() -> None:
    began = time.monotonic()
    checks = [Check("a", broken), Check("b", slow, seconds=0.1), Check("c", nothing)]
    outcomes = await run_checks(checks, Host())
    assert time.monotonic() - began < 5
    assert [len(outcome.findings) for outcome in outcomes] == [1, 1, 0]
    first, second = (outcome.findings[0] for outcome in outcomes[:2])
    assert first.severity is second.severity is Severity.WARNING
    assert first.seen == "ZeroDivisionError: by?[31mzero"
    assert second.seen == "no answer within 0.1 s"
    assert "--only a" in first.mend


async def test_they_run_at_the_same_time() -> None:
    async def waits(_: Host) -> list[Finding]:
        await asyncio.sleep(0.2)
        return []

    began = time.monotonic()
    await run_checks([Check(str(number), waits) for number in range(20)], Host())
    assert time.monotonic() - began < 2


CHAIN = (
    Check("disk", nothing),
    Check("valkey", nothing, after=("disk",)),
    Check("control", nothing, after=("valkey",)),
    Check("other", nothing),
)


def test_a_cause_stands_before_what_follows_from_it() -> None:
    findings = in_order(CHAIN, [bad("control"), bad("valkey")])
    assert [finding.check for finding in findings] == ["valkey", "control"]
    assert [finding.follows for finding in findings] == [(), ("valkey",)]


def test_a_cause_is_found_by_way_of_a_check_without_a_finding() -> None:
    findings = in_order(CHAIN, [bad("control"), bad("disk")])
    assert [(finding.check, finding.follows) for finding in findings] == [
        ("disk", ()),
        ("control", ("disk",)),
    ]


def test_a_warning_explains_no_failure() -> None:
    findings = in_order(CHAIN, [bad("disk", Severity.WARNING), bad("valkey")])
    assert [(finding.check, finding.follows) for finding in findings] == [("valkey", ()), ("disk", ())]


def test_what_follows_from_nothing_stands_before_consequences_however_mild() -> None:
    findings = in_order(CHAIN, [bad("control"), bad("other", Severity.WARNING), bad("valkey")])
    assert [finding.check for finding in findings] == ["valkey", "other", "control"]


def test_the_table_names_each_check_once_and_goes_in_no_circle() -> None:
    names = [check.name for check in ALL]
    assert len(set(names)) == len(names)
    order = graphlib.TopologicalSorter({check.name: check.after for check in ALL})
    assert set(order.static_order()) == set(names)
    # What stands in the table first is looked at as the cause of what stands below.
    assert all(names.index(cause) < names.index(check.name) for check in ALL for cause in check.after)


def test_the_exit_status_is_the_worst_severity() -> None:
    mild, serious = warning("a", "b", "c", "d"), critical("a", "b", "c", "d")
    assert [worst([]), worst([mild]), worst([mild, serious])] == [0, 1, 2]


def test_a_finding_survives_json() -> None:
    finding = critical("a", "b", "c", "d", stream="demo").of("units")
    assert Finding.read(finding.described()) == finding
