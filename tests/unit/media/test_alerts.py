"""Alerts: raised once, told once, over once, and to be read for a while after."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from appliance.media.alerts import QUIET_S, REMEMBERED_S, Alert, Alerts
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def alerts(clock: Clock) -> Alerts:
    return Alerts(clock=clock, wall=lambda: clock.now)


def test_a_matter_that_goes_on_is_told_once_and_once_when_it_is_over(
    alerts: Alerts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(500):
        alerts.note(Alert.WRITE_FAILED, f"part {number} lost")
        clock.now += 0.9 * QUIET_S
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "part 0 lost" in caplog.text
    assert "origin_media_size" in caplog.text
    [shown] = alerts.describe()
    assert (shown["name"], shown["over"], shown["count"]) == ("write_failed", False, 500)
    assert (shown["since"], shown["value"]) == ("1970-01-01T00:16:40.000+00:00", "part 499 lost")
    clock.now += 0.2 * QUIET_S
    assert alerts.active() == frozenset()
    assert [record.levelno for record in caplog.records] == [logging.ERROR, logging.WARNING]
    assert "over: " in caplog.text
    assert "500 times" in caplog.text


def test_what_is_over_can_still_be_read_for_a_while(alerts: Alerts, clock: Clock) -> None:
    alerts.note(Alert.STORAGE_FULL, "segment 3 was dropped early")
    clock.now += QUIET_S + 1
    alerts.note(Alert.SLOW_ENCODING, "it runs at 0.80 of real time")
    assert [(item["name"], item["over"]) for item in alerts.describe()] == [
        ("slow_encoding", False),
        ("storage_full", True),
    ]
    clock.now += REMEMBERED_S
    assert [item["name"] for item in alerts.describe()] == ["slow_encoding"]


def test_what_comes_back_after_its_end_is_a_new_alert(
    alerts: Alerts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    alerts.note(Alert.STORAGE_FULL, "segment 3 was dropped early")
    clock.now += QUIET_S + 1
    alerts.note(Alert.STORAGE_FULL, "segment 9 was dropped early")
    assert [(item["over"], item["count"]) for item in alerts.describe()] == [(False, 1)]
    assert [record.getMessage().startswith("over: ") for record in caplog.records] == [False, True, False]


def test_a_matter_that_lasts_is_one_occurrence(
    alerts: Alerts, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(500):
        alerts.hold(Alert.RUNG_GIVEN_UP, f"720p, look {number}")
        clock.now += 0.5
    [shown] = alerts.describe()
    assert (shown["over"], shown["count"], shown["value"]) == (False, 1, "720p, look 499")
    clock.now += QUIET_S + 1
    assert alerts.active() == frozenset()
    alerts.hold(Alert.RUNG_GIVEN_UP, "480p")
    assert [(item["over"], item["count"]) for item in alerts.describe()] == [(False, 1)]
    assert len(caplog.records) == 3


def test_a_hiccup_does_not_take_away_what_was_raised_before(alerts: Alerts, clock: Clock) -> None:
    for _ in range(3):
        alerts.note(Alert.SLOW_WRITES, "0.2 s")
    clock.now += QUIET_S + 40
    alerts.note(Alert.SLOW_WRITES, "0.3 s")
    assert [(item["over"], item["count"]) for item in alerts.describe()] == [(True, 3)]
    for _ in range(2):
        alerts.note(Alert.SLOW_WRITES, "0.3 s")
    assert [(item["over"], item["count"]) for item in alerts.describe()] == [(False, 3)]


def test_hiccups_are_no_alert(alerts: Alerts, clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    for _ in range(10):
        alerts.note(Alert.SLOW_WRITES, "0.2 s")
        alerts.note(Alert.SLOW_WRITES, "0.2 s")
        clock.now += QUIET_S + 1
    assert not caplog.records
    assert alerts.describe() == []
    for _ in range(3):
        alerts.note(Alert.SLOW_WRITES, "0.2 s")
    assert alerts.active() == {Alert.SLOW_WRITES}


def test_each_kind_has_a_name_of_its_own_and_says_what_mends_it() -> None:
    assert len({alert.value.name for alert in Alert}) == len(Alert)
    for alert in Alert:
        assert alert.value.name.isidentifier()
        assert alert.value.what
        assert alert.value.mends


def test_the_troubleshooting_table_has_every_alert() -> None:
    readme = (Path(__file__).parents[3] / "README.md").read_text()
    assert [alert.value.name for alert in Alert if f"`ALERT: {alert.value.name}`" not in readme] == []
