"""What the hosts of a fleet noted, merged."""

from __future__ import annotations

import json

import pytest

from appliance.ops.fleet import session
from tests.integration.fleet.conftest import Fleet


def test_journals_are_merged_by_time(fleet: Fleet) -> None:
    for name, lines in (
        ("a", ["10:00:01.000000 first", "10:00:03.000000 third", "  and-more"]),
        ("b", ["10:00:02.000000 second"]),
    ):
        text = "\n".join(line if line.startswith(" ") else f"2026-01-01T{line}" for line in lines)
        fleet.programs(name, {"journalctl": f"cat <<'END'\n{text}\nEND\n"})
    done = fleet.run("logs")
    assert [line.split()[0] + line.split()[-1] for line in done.text.splitlines()] == [
        "afirst",
        "bsecond",
        "athird",
        "aand-more",
    ]
    assert done.status == 0


def test_of_a_stream_each_host_says_what_its_own_command_shows(fleet: Fleet) -> None:
    fleet.programs("a", {"appliance": 'echo "2026-01-01T10:00:0$#.000Z  control  $*"'})
    fleet.programs("b", {"appliance": 'echo "2026-01-01T10:00:00.000Z  delivery  first"'})
    fleet.programs("c", {"appliance": "echo 'the journal cannot be read' >&2; exit 69"})
    done = fleet.run("logs", "--stream", "demo", "--since", "-2h")
    assert done.text.splitlines() == [
        "b  2026-01-01T10:00:00.000Z  delivery  first",
        "a  2026-01-01T10:00:04.000Z  control  logs --stream=demo --since=-2h --lines=200",
    ]
    assert "c: the journal cannot be read" in done.errors
    assert done.status == 1
    assert fleet.run("logs", "--stream", "demo", "--grep", "x").status == 64


def test_lines_of_one_millisecond_stay_in_their_order(fleet: Fleet) -> None:
    said = ("ingest       one", "control     two", "delivery    three")
    text = "\n".join(f"2026-01-01T10:00:00.000Z  {line}" for line in said)
    fleet.programs("a", {"appliance": f"cat <<'END'\n{text}\nEND\n"})
    done = fleet.run("logs", "--stream", "demo")
    assert [line.split()[-1] for line in done.text.splitlines()] == ["one", "two", "three"]


def test_a_journal_that_is_cut_is_told(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_LARGEST", 100)
    fleet.programs("a", {"appliance": "yes '2026-01-01T10:00:00.000Z  control  x' | head -n 5"})
    done = fleet.run("logs", "--stream", "demo")
    assert done.status == 1
    assert "a: it has more than is shown, and newer" in done.errors
    assert json.loads(fleet.run("exec", "--json", "--", "appliance").text)["hosts"]["a"]["cut"] is True
