"""The role monitoring on a host: a second run changes nothing, and all that is asked for is there."""

from __future__ import annotations

import re
from contextlib import suppress

from tests.alerts.conftest import Made
from tests.alerts.watching import Prometheus, got
from tests.support.expressions import in_panels, in_rules, names_in, selectors_in
from tests.support.prometheus import promtool
from tests.support.waiting import until

NO_SUCH_THING = re.compile(
    "appliance_gpu_"  # a lab host has no GPU; tests/integration/control has them by a stand-in
    "|appliance_capacity_(used|limit)_ratio"  # what its encoders carry was not measured
    "|ALERTS"  # while nothing fires
    "|node_filesystem_.*fstype!~"  # of the disk: a container's is an overlay, which is left out
    "|node_timex_"  # nspawn lets nobody in a container ask the kernel about its clock
)
"""What a host need not have."""


def test_a_second_run_changes_nothing(made: Made) -> None:
    counts = re.findall(r"\bok=\d+ +changed=(\d+) +unreachable=0 +failed=0", made.second_run)
    assert counts, made.second_run[-1000:]
    assert set(counts) == {"0"}, re.findall(r"TASK .*\n(?:.*\n)?changed: .*", made.second_run)


def test_promtool_finds_nothing(prometheus: Prometheus) -> None:
    text = got(prometheus.site, "http://127.0.0.1:8000/metrics")
    assert "appliance_stream_up" in text
    checked = promtool("check", "metrics", given=text)
    assert (checked.returncode, checked.stdout) == (0, ""), text


def test_every_target_is_up(prometheus: Prometheus) -> None:
    targets = prometheus.ask("targets")["activeTargets"]
    assert {(each["labels"]["job"], each["health"]) for each in targets} == {
        ("appliance", "up"),
        ("node", "up"),
        ("monitoring", "up"),
    }


def test_every_series_of_a_rule_is_there(prometheus: Prometheus) -> None:
    names = {name for texts in in_rules().values() for text in texts for name in names_in(text)}
    names = {name for name in names if not NO_SUCH_THING.match(name)}
    with suppress(AssertionError):  # which would not say what is missing
        until("all series", lambda: names <= prometheus.names(), 40)
    assert names - prometheus.names() == set()


def test_every_series_of_a_panel_is_there(prometheus: Prometheus) -> None:
    missing = [
        (panel, selector)
        for panel, texts in in_panels().items()
        for text in texts
        for selector in selectors_in(text)
        if not NO_SUCH_THING.match(selector) and not prometheus.found(selector)
    ]
    assert missing == []


def test_every_rule_can_be_evaluated(prometheus: Prometheus) -> None:
    rules = [rule for group in prometheus.ask("rules")["groups"] for rule in group["rules"]]
    assert {rule["name"]: rule["health"] for rule in rules} == dict.fromkeys(in_rules(), "ok")
