"""Faults planted one by one: the doctor's first finding names the cause."""

from __future__ import annotations

import re
import time

import pytest

from tests.doctor.conftest import Doctor, Row
from tests.doctor.fault import Fault
from tests.doctor.faults import FAULTS


def test_a_healthy_host_has_no_finding_and_that_quickly(doctor: Doctor) -> None:
    report = doctor.look()
    assert report["findings"] == []
    assert report["seconds"] <= 5


@pytest.mark.parametrize("fault", FAULTS, ids=[fault.name for fault in FAULTS])
def test_the_first_finding_names_the_cause(doctor: Doctor, rows: list[Row], fault: Fault) -> None:
    planted = time.monotonic()
    try:
        doctor.site.run("sh", "-c", fault.plant)
        findings = doctor.look()["findings"]
        while not findings and time.monotonic() - planted < fault.seconds:
            findings = doctor.look()["findings"]
    finally:
        doctor.site.run("sh", "-c", fault.mend)
    first = findings[0] if findings else {"check": "-", "what": "nothing", "seen": "-"}
    said = f"{first['what']}: {first['seen']}"
    named = bool(re.fullmatch(fault.check, first["check"]) and re.search(fault.words, said))
    seen = f"[{first['check']}] {said}"[:200]
    row = Row(fault.name, seen, named, time.monotonic() - planted, len(findings))
    rows.append(row)
    print(row)
    assert named, f"{fault.name}: {findings}"
