"""`appliance fleet`: what is refused, and what one host says that breaks nobody else's row."""

from __future__ import annotations

import io
from typing import cast

import pytest
from rich.console import Console

from appliance.cli import fleet
from appliance.cli.main import main
from appliance.errors import EX_USAGE
from appliance.media.status_reading import Reading
from appliance.ops.doctor.finding import critical
from appliance.ops.fleet.everywhere import Result
from appliance.ops.fleet.ssh_options import Options
from appliance.ops.fleet.summary import Summary
from appliance.ops.fleet.targets import Target


@pytest.mark.parametrize("limit", ["", " ", ","])
@pytest.mark.parametrize("words", [["fleet", "exec", "--", "true"], ["fleet", "status"], ["preflight"]])
def test_a_limit_that_names_nobody_is_not_all_hosts(
    words: list[str], limit: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for area in ("fleet", "preflight"):
        monkeypatch.setattr(f"appliance.cli.{area}.read_targets", lambda *_: pytest.fail("it went on"))
    monkeypatch.setattr("appliance.cli.preflight.ask_inventory", lambda *_: pytest.fail("it went on"))
    at = len(words) if "--" not in words else words.index("--")
    with pytest.raises(SystemExit) as left:
        main([*words[:at], "--limit", limit, *words[at:]])
    assert left.value.code == EX_USAGE
    assert "names no host" in capsys.readouterr().err


def test_on_a_narrow_terminal_nothing_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    out = Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None, markup=False)
    host = "origin-with-a-long-name-" * 3 + "1.streaming.example.net"
    mend = f"somebody may be in between: ssh-keygen -R {host}"
    found = {host: [critical("it cannot be looked at", "x " * 60, "nobody looks", mend).of("ssh")]}
    for maker in ("cli.fleet.console", "cli.fleet.page", "ops.doctor.report.page"):
        monkeypatch.setattr(f"appliance.{maker}", lambda: out)
    fleet._print_findings(found, ["monitor1"])
    value = Summary("runs", Reading({"load": 1.5, "cores": 4, "connections": 120, "version": "1.0"}))
    result = Result(Target(host, None, Options()), value, 1.0)
    monkeypatch.setattr("appliance.cli.fleet.read_targets", lambda *_: [])
    monkeypatch.setattr("appliance.cli.fleet.on_all", lambda *_, **__: [result])
    with pytest.raises(SystemExit):
        main(["fleet", "status"])
    text = cast(io.StringIO, out.file).getvalue()
    assert "…" not in text
    assert "".join(mend.split()) in "".join(text.split())
    assert "monitor1: no streaming host" in text
    rows = [line.split("│")[1].strip() for line in text.splitlines() if line.startswith("│")]
    assert "".join(rows) == host
