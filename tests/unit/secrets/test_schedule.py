"""By when a secret must have been replaced: as its own timer's calendar has it, and no other figure."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.metrics.secrets import rotations_due, secret_metrics
from appliance.control.secrets import Secrets
from appliance.secrets.making import make_missing
from appliance.secrets.schedule import TIMERS, TURNS, due, next_time
from tests.support.rendering import render

if TYPE_CHECKING:
    from pathlib import Path

LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)
MADE = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "UTC")
    next_time.cache_clear()


def enable(folder: Path, secret: str, calendar: str, when: datetime = LONG_AGO) -> None:
    """Enable the timer of a secret as the role and systemctl do, at `when`."""
    unit, link = folder / "unit", folder / TIMERS[secret]
    unit.write_text(
        render("control", "appliance-rotate.timer.j2", rotation={"description": "it", "calendar": calendar})
    )
    link.unlink(missing_ok=True)
    link.symlink_to(unit)
    os.utime(link, (when.timestamp(),) * 2, follow_symlinks=False)


@pytest.mark.parametrize(
    ("calendar", "next_one"),
    [
        ("hourly", datetime(2026, 3, 4, 8, tzinfo=UTC)),
        ("04:30", datetime(2026, 3, 5, 4, 30, tzinfo=UTC)),
        ("weekly", datetime(2026, 3, 9, tzinfo=UTC)),
        ("monthly", datetime(2026, 4, 1, tzinfo=UTC)),
        ("yearly", datetime(2027, 1, 1, tzinfo=UTC)),
    ],
)
def test_it_is_the_first_time_of_the_timer_after_it_was_made(
    tmp_path: Path, calendar: str, next_one: datetime
) -> None:
    enable(tmp_path, "master-key", calendar)
    assert due("master-key", MADE, tmp_path) == next_one + TURNS


def test_one_that_another_host_made_before_its_own_turn_is_new(tmp_path: Path) -> None:
    enable(tmp_path, "master-key", "weekly")
    monday = datetime(2026, 3, 9, tzinfo=UTC)
    assert due("master-key", monday - timedelta(hours=1), tmp_path) == monday + timedelta(days=7) + TURNS


def test_a_timer_owes_nothing_for_the_time_before_it_was_enabled(tmp_path: Path) -> None:
    enable(tmp_path, "master-key", "weekly", MADE)
    for made in (LONG_AGO, None):
        assert due("master-key", made, tmp_path) == datetime(2026, 3, 9, tzinfo=UTC) + TURNS


def test_the_calendar_is_the_host_s_own_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    enable(tmp_path, "master-key", "weekly")
    assert due("master-key", MADE, tmp_path) == datetime(2026, 3, 8, 23, tzinfo=UTC) + TURNS


def test_a_drop_in_of_the_operator_counts(tmp_path: Path) -> None:
    wants, drop_ins = tmp_path / "timers.target.wants", tmp_path / f"{TIMERS['master-key']}.d"
    wants.mkdir()
    drop_ins.mkdir()
    enable(wants, "master-key", "yearly")
    more = drop_ins / "10-more.conf"
    more.write_text("[Timer]\nOnCalendar=weekly\n")
    assert due("master-key", MADE, wants) == datetime(2026, 3, 9, tzinfo=UTC) + TURNS
    (drop_ins / "20-other.conf").write_text("[Timer]\nOnCalendar=\nOnCalendar=monthly\n")
    assert due("master-key", MADE, wants) == datetime(2026, 4, 1, tzinfo=UTC) + TURNS


@pytest.mark.parametrize("calendar", ["2020-02-02", "no time at all"])
def test_without_a_time_to_come_nothing_is_due(tmp_path: Path, calendar: str) -> None:
    assert due("master-key", MADE, tmp_path) is None
    enable(tmp_path, "master-key", calendar)
    assert due("master-key", MADE, tmp_path) is None


def test_where_systemd_cannot_be_asked_nothing_is_due(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enable(tmp_path, "master-key", "weekly")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert due("master-key", MADE, tmp_path) is None


@pytest.mark.parametrize("given", [None, "chosen-by-the-operator"])
def test_every_secret_that_a_timer_replaces_is_told_of(tmp_path: Path, given: str | None) -> None:
    """One that the operator chose is nobody's to replace."""
    options: dict[str, Any] = {} if given is None else {"webhook_secret": given}
    credentials, wants = tmp_path / "credentials", tmp_path / "wants"
    make_missing(credentials, bytes(16), **options)
    wants.mkdir()
    secrets = Secrets.load(credentials)
    assert rotations_due(secrets, wants) == {}
    timed = set(TIMERS) - {"content-keys"}
    for name in timed:
        enable(wants, name, "weekly")
    found = rotations_due(secrets, wants)
    assert set(found) == timed - ({"webhook-secret"} if given else set())
    told = {family.name: family for family in secret_metrics(secrets, found)}
    family = told["appliance_secret_rotation_due_timestamp_seconds"]
    assert {sample.labels["secret"]: sample.value for sample in family.samples} == {
        name: time.timestamp() for name, time in found.items()
    }
