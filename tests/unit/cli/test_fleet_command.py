"""`appliance fleet`: what is refused, and what one host says that breaks nobody else's row."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, cast

import pytest
from rich.console import Console

from appliance.cli import fleet
from appliance.cli.main import main
from appliance.errors import EX_USAGE
from appliance.health.finding import critical
from appliance.media.status_reading import Reading
from appliance.ops.fleet.everywhere import Result
from appliance.ops.fleet.session import Done
from appliance.ops.fleet.ssh_options import Options
from appliance.ops.fleet.summary import Summary
from appliance.ops.fleet.targets import Target

if TYPE_CHECKING:
    from pathlib import Path


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


def _targets(**streaming: bool) -> list[Target]:
    return [Target(name, None, Options(), streams) for name, streams in streaming.items()]


@pytest.mark.parametrize("follow", [[], ["--follow"]])
def test_who_has_no_streams_is_not_asked_of_one(
    follow: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fleet, "read_targets", lambda *_: _targets(origin1=True, monitor1=False))
    asked: list[str] = []

    def answer(targets: list[Target], *_: object, **__: object) -> list[Result[Done]]:
        asked.extend(target.name for target in targets)
        return [Result(target, Done(0, "", ""), 1.0) for target in targets]

    monkeypatch.setattr(fleet, "ask", answer)
    monkeypatch.setattr(fleet, "on_lines", answer)
    with pytest.raises(SystemExit) as left:
        main(["fleet", "logs", "--stream", "demo", *follow])
    assert left.value.code == 0
    assert asked == ["origin1"]
    assert capsys.readouterr().err == "monitor1: no streaming host, left out\n"
    # Its own journal it has.
    asked.clear()
    with pytest.raises(SystemExit):
        main(["fleet", "logs", *follow])
    assert asked == ["origin1", "monitor1"]


def test_of_monitors_alone_no_stream_is_asked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fleet, "read_targets", lambda *_: _targets(monitor1=False))
    with pytest.raises(SystemExit) as left:
        main(["fleet", "logs", "--stream", "demo"])
    assert left.value.code == EX_USAGE
    assert "monitor1: no streaming host" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (None, "No such file or directory"),
        (b"", "names no host"),
        (b"\n  \n", "names no host"),
        (b"\xff\xfe", "it is no text"),
        ("folder", "Is a directory"),
    ],
)
def test_a_limit_s_file_without_a_host_is_refused(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    content: bytes | str | None,
    said: str,
) -> None:
    file = tmp_path / "site.retry"
    if content == "folder":
        file.mkdir()
    elif isinstance(content, bytes):
        file.write_bytes(content)
    monkeypatch.setattr(fleet, "read_targets", lambda *_: pytest.fail("it went on"))
    with pytest.raises(SystemExit) as left:
        main(["fleet", "status", "--limit", f"@{file}"])
    assert left.value.code == EX_USAGE
    error = capsys.readouterr().err
    assert said in error
    assert f"@{file}" in error


def test_a_limit_s_file_is_ansible_s_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked = tmp_path / "site.retry", []
    file.write_text("origin1\n")

    def read(*given: object) -> list[Target]:
        asked.append(given)
        return _targets(origin1=True)

    monkeypatch.setattr(fleet, "read_targets", read)
    monkeypatch.setattr(fleet, "on_lines", lambda *_, **__: [])
    with pytest.raises(SystemExit) as left:
        main(["fleet", "exec", "--limit", f"@{file}", "true"])
    assert left.value.code == 0
    assert asked == [(None, f"@{file}")]
