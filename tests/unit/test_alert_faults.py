"""What the suite `alerts` breaks on a host: every alert has its fault there, or a reason why it has none."""

from __future__ import annotations

import yaml

from tests.alerts.faults import GROUPS, NOT_HERE
from tests.alerts.rules import shortened
from tests.support.expressions import RULES, alerts

PLANTED = {alert for faults in GROUPS.values() for fault in faults for alert in fault.alerts}


def test_every_alert_has_its_fault() -> None:
    assert PLANTED & set(NOT_HERE) == set()
    assert PLANTED | set(NOT_HERE) == set(alerts())


def test_the_copy_of_the_rules_differs_in_durations_alone() -> None:
    given = [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]
    copied = [rule for group in yaml.safe_load(shortened())["groups"] for rule in group["rules"]]
    assert [{**rule, "expr": "", "for": ""} for rule in copied] == [
        {**rule, "expr": "", "for": ""} for rule in given
    ]
    assert all(rule.get("for") in (None, "5s") for rule in copied)
    assert not any("m]" in rule["expr"] for rule in copied)
