"""The doctor, the checklist and the status of a whole fleet."""

from __future__ import annotations

import json
from typing import Any

import pytest

from appliance.cli import preflight as preflight_cli
from appliance.health.finding import critical, warning
from appliance.ops.doctor.check import Outcome
from appliance.ops.doctor.report import Report
from appliance.ops.preflight.inventory import Inventory
from tests.integration.fleet.conftest import Fleet


def healthy(version: str = "1.0") -> dict[str, Any]:
    """Return a report as a host without findings gives it."""
    report = Report(0.0, 1.2, (Outcome("units", (), 0.1),), (), {"appliance": version, "kernel": "6.12"}, ())
    return report.described()


def test_the_doctor_goes_everywhere_and_hosts_are_compared(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    fleet.doctor("two", json.dumps(healthy()))
    fleet.doctor("old", json.dumps(healthy("0.9")))
    finding = critical("unit x has failed", "failed", "nobody can watch", "systemctl restart x").of("units")
    fleet.doctor("sick", json.dumps(healthy() | {"findings": [finding.described()]}), status=2)
    fleet.doctor("mute", "no JSON")
    fleet.programs("bare", {"timeout": 'shift 2; exec env PATH=/nowhere /bin/sh -c \'exec "$@"\' sh "$@"'})
    fleet.server("stranger", known=False)
    done = fleet.run("doctor", "--json")
    assert done.status == 2, done.errors
    hosts = json.loads(done.text)["hosts"]
    said = {name: [each["what"] for each in host["findings"]] for name, host in hosts.items()}
    assert said.pop("one") == said.pop("two") == []
    assert said.pop("old") == ["appliance is another version than elsewhere"]
    assert said.pop("sick") == ["unit x has failed"]
    assert said == {name: ["the host cannot be looked at"] for name in ("mute", "bare", "stranger")}
    assert "key is not known" in hosts["stranger"]["findings"][0]["seen"]
    assert "there is no `appliance` on it" in hosts["bare"]["findings"][0]["seen"]
    assert "no JSON" in hosts["mute"]["findings"][0]["seen"]
    lines = done.errors.splitlines()
    assert any(line.startswith("sick: 1 finding: unit x has failed, ") for line in lines)
    assert any(line.startswith("one: no finding, ") for line in lines)


def test_the_checklist_asks_inventory_and_hosts(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    login = warning("SSH takes passwords", "yes", "robots", "sshd_config").of("login")
    tls = warning("the certificate is self-signed", "of the file", "refused", "buy one").of("tls")
    report = json.dumps(healthy() | {"findings": [login.described(), tls.described()]})
    seen = fleet.directory / "arguments"
    fleet.programs("open", {"appliance": f"echo \"$@\" >{seen}; cat <<'END'\n{report}\nEND\nexit 1"})
    fleet.doctor("meant", report, status=1)
    fleet.programs("bare", {"timeout": 'shift 2; exec env PATH=/nowhere /bin/sh -c \'exec "$@"\' sh "$@"'})
    beforehand = warning("the certificate is self-signed", "none is named", "refused", "buy one").of("tls")
    hosts = dict.fromkeys(("open", "meant", "bare"), (beforehand,))
    accepted = {"open": frozenset[str](), "meant": frozenset({"login", "tls"}), "bare": frozenset[str]()}
    backup = warning("no backup is made", "none", "lost", "make one").of("backup")
    planned = Inventory((backup,), hosts | {"meant": ()}, accepted)
    monkeypatch.setattr(preflight_cli, "ask_inventory", lambda *_: planned)
    done = fleet.run("preflight", "--json")
    assert done.status == 1, done.errors
    said = json.loads(done.text)
    assert [one["what"] for one in said["site"]] == ["no backup is made"]
    found = {
        name: (host["deployed"], [(one["what"], one["seen"]) for one in host["findings"]])
        for name, host in said["hosts"].items()
    }
    assert found == {
        "open": (True, [("SSH takes passwords", "yes"), ("the certificate is self-signed", "of the file")]),
        "meant": (True, []),
        "bare": (False, [("the certificate is self-signed", "none is named")]),
    }
    assert seen.read_text() == "doctor --json --checklist --name open --name 127.0.0.1\n"
    printed = fleet.run("preflight")
    assert "bare is not deployed yet" in printed.text
    assert printed.text.endswith("\n4 findings\n")


def test_a_host_that_the_checklist_cannot_ask_is_a_finding(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    fleet.server("stranger", known=False)
    planned = Inventory((), {"stranger": ()}, {"stranger": frozenset()})
    monkeypatch.setattr(preflight_cli, "ask_inventory", lambda *_: planned)
    done = fleet.run("preflight", "--json")
    assert done.status == 2
    [finding] = json.loads(done.text)["hosts"]["stranger"]["findings"]
    assert "key is not known" in finding["seen"]
    assert json.loads(done.text)["hosts"]["stranger"]["deployed"] is None
    assert fleet.run("preflight", "--no-hosts").text == "nothing found\n"


def test_without_a_finding_the_exit_status_is_zero(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    done = fleet.run("doctor")
    assert (done.status, done.text) == (0, "1 of 1 host without a finding\n"), done.errors


def test_on_a_terminal_a_table_shows_how_far_the_hosts_are(fleet: Fleet) -> None:
    fleet.doctor("one", json.dumps(healthy()))
    fleet.server("stranger", known=False)
    done = fleet.on_terminal("doctor")
    assert done.status == 2
    assert "\x1b[" in done.errors
    assert all(word in done.errors for word in ("waiting", "no finding", "FAILED: its key is not known"))
    assert "key is not known" in done.text


def test_a_clock_that_differs_is_found_from_here(fleet: Fleet) -> None:
    server = fleet.doctor("ahead", json.dumps(healthy()))
    assert server.programs
    date = server.programs / "date"
    date.write_text('#!/bin/sh\n/bin/date -d "now + 90 seconds" "$@"\n')
    date.chmod(0o755)
    done = fleet.run("doctor", "--json")
    [finding] = json.loads(done.text)["hosts"]["ahead"]["findings"]
    assert finding["what"] == "its clock differs"
    assert finding["seen"].startswith(("+90.", "+89."))
    assert done.status == 1


def test_status_is_a_row_for_each(fleet: Fleet) -> None:
    summary = {
        "streams_live": 3,
        "streams": [],
        "connections": 120,
        "load": 1.5,
        "cores": 4,
        "memory": 0.25,
        "media": 0.5,
        "uptime": 7200,
        "version": "1.0",
        "units_down": [],
    }
    fleet.doctor("up", json.dumps(summary))
    fleet.doctor("half", json.dumps(summary | {"units_down": ["appliance-ingest.service"]}))
    done = fleet.run("status")
    rows = {line.split("│")[1].strip(): line for line in done.text.splitlines() if "│" in line}
    assert "DOWN: appliance-ingest.service" in rows["half"]
    assert [cell.strip() for cell in rows["up"].split("│")[2:7]] == ["runs", "3", "120", "1.5/4", "25 %"]
    assert done.status == 1
