"""`secrets status`: ages, next times, what is overdue, and never a value."""

from __future__ import annotations

import json
import os
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from typer.testing import CliRunner

from appliance.cli.secrets import app
from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.media.stream_client import KeyInUse, running_units
from appliance.ops.secret_status import secret_status
from appliance.ops.timers import Timer, ask_timer, parse_timer
from appliance.secrets.credentials import replace_credential
from appliance.secrets.making import make_missing
from appliance.secrets.rotating import read_lines, read_rotating, replaced
from appliance.secrets.schedule import TIMERS

if TYPE_CHECKING:
    from pathlib import Path

NOW = datetime.now(UTC)
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
STOPPED = Timer(active=False, after=None, last=None)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    make_missing(tmp_path / "credentials", None)
    return tmp_path / "credentials"


def test_what_systemd_prints_is_read() -> None:
    row = {
        "next": 1767322800000000,
        "left": 1,
        "last": None,
        "passed": 0,
        "unit": "a.timer",
        "activates": "b",
    }
    due = datetime.fromtimestamp(1767322800, UTC)
    assert parse_timer(json.dumps([row]), "a.timer") == Timer(active=True, after=due, last=None)
    ran = row | {"last": 1767322800000000, "next": None}
    assert parse_timer(json.dumps([ran]), "a.timer") == Timer(active=False, after=None, last=due)
    assert parse_timer(json.dumps([row]), "other.timer") == STOPPED
    assert parse_timer("[]", "a.timer") == STOPPED
    with pytest.raises(ValueError, match="no list"):
        parse_timer("{}", "a.timer")


def test_systemd_is_asked_and_the_link_tells_since_when_the_timer_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = {"next": 1767322800000000, "last": 1767322700000000, "unit": "a.timer"}
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f"#!/bin/sh\necho '{json.dumps([row])}'\n")
    systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    assert ask_timer("a.timer", tmp_path).enabled is None
    # the link's own time, not that of the unit, which every upgrade may write anew
    (tmp_path / "a.timer").symlink_to("/nowhere/a.timer")
    os.utime(tmp_path / "a.timer", (1767322000, 1767322000), follow_symlinks=False)
    asked = ask_timer("a.timer", tmp_path)
    assert asked.enabled == datetime.fromtimestamp(1767322000, UTC)
    assert asked.last == datetime.fromtimestamp(1767322700, UTC)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        (None, "there is no systemctl on this machine"),
        ("echo 'System has not been booted.\nNo.' >&2; exit 1", "System has not been booted."),
        ("exit 4", "systemctl ended with 4"),
        ("echo '{}'", "systemctl printed no list"),
    ],
)
def test_where_systemd_does_not_answer_it_is_said_in_a_line(
    script: str | None, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if script is not None:
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f"#!/bin/sh\n{script}\n")
        systemctl.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError) as refused:
        ask_timer("a.timer", tmp_path)
    assert refused.value.message == f"systemd does not say when a.timer is due: {said}"
    assert refused.value.hint == "see why: systemctl status a.timer"
    if said != "systemctl printed no list":
        with pytest.raises(OperatorError, match=re.escape(f"which streams run: {said}")):
            running_units()


def test_every_secret_has_a_row(directory: Path) -> None:
    timer = Timer(active=True, after=NOW + DAY, last=None)
    live = {"demo": KeyInUse(1, "1-x", NOW - HOUR), "silent": KeyInUse(1, None, None)}
    rows = {row.name: row for row in secret_status(directory, lambda _: timer, live, NOW)}
    assert rows.keys() == TIMERS.keys() | {"stream-key-pepper"}
    assert rows["content-keys"].created == NOW - HOUR
    assert all(row.next_rotation == NOW + DAY for name, row in rows.items() if name in TIMERS)
    assert rows["stream-key-pepper"].next_rotation is None
    assert not any(row.overdue for row in rows.values())
    assert all(row.created is not None for row in rows.values())


def test_old_ones_are_shown_with_their_end_and_no_value_is(directory: Path) -> None:
    began = datetime.now(UTC)
    for name in ("webhook-secret", "view-token-keys"):
        new = replaced(name, read_rotating(directory, name), HOUR)
        replace_credential(directory / name, new.dumps())
    rows = {row.name: row for row in secret_status(directory, lambda _: STOPPED, {}, NOW)}
    for name in ("webhook-secret", "view-token-keys"):
        end = rows[name].old_good_until
        assert end is not None
        assert began + HOUR <= end <= datetime.now(UTC) + HOUR
    assert rows["admin-token"].old_good_until is None
    shown = json.dumps([row.described() for row in rows.values()])
    for item in read_lines(directory, "webhook-secret").entries:
        assert item.text not in shown
    assert read_lines(directory, "admin-token").newest.text not in shown


@pytest.mark.parametrize(
    ("timer", "overdue"),
    [
        (
            Timer(active=True, after=NOW + 9 * DAY, last=NOW + HOUR),
            False,
        ),  # another host's turn was before ours
        (Timer(active=True, after=NOW + 9 * DAY, last=NOW + 2 * DAY), True),  # it fired, and nothing is new
        (Timer(active=True, after=NOW + 2 * DAY, last=None), True),  # its time has passed
        (Timer(active=False, after=None, last=NOW + 2 * DAY), False),
        # switched on long after the host was made, and the host was rebooted: no time of it has passed
        (Timer(active=True, after=NOW + 9 * DAY, last=NOW + 2 * DAY, enabled=NOW + 2 * DAY), False),
        (Timer(active=True, after=NOW + 9 * DAY, last=NOW + 2 * DAY, enabled=NOW + DAY), True),
    ],
)
def test_a_rotation_that_failed_is_overdue(directory: Path, timer: Timer, overdue: bool) -> None:
    rows = secret_status(directory, lambda _: timer, {}, NOW + 3 * DAY)
    found = {row.overdue for row in rows if row.name in {"view-token-keys", "master-key", "admin-token"}}
    assert found == {overdue}


def test_the_command_says_so_with_its_exit_status(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("appliance.media.stream_client.running_units", set)
    late = Timer(active=True, after=NOW - DAY, last=None)
    monkeypatch.setattr("appliance.cli.secrets.ask_timer", lambda _: late)
    monkeypatch.setattr("appliance.cli.secrets.LiveKeys.ask", lambda _: type("Live", (), {"keys": {}})())
    result = CliRunner().invoke(app, ["status", "--directory", str(directory), "--streams", str(tmp_path)])
    assert isinstance(result.exception, OperatorError)
    assert result.exception.exit_code == EX_UNAVAILABLE
    assert "overdue: content-keys" in str(result.exception)
    assert "OVERDUE" in result.stdout
