"""What an operator reads: tables in a pipe, times on a terminal, and files that only root may open."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from rich.table import Table

from appliance.cli import main
from appliance.cli.host import demo_prefix
from appliance.errors import EX_NOPERM
from appliance.health.finding import critical
from appliance.ops.doctor.report import print_findings
from appliance.output import console, short_time, span
from appliance.program import program
from appliance.settings import describe


def test_a_table_in_a_pipe_is_never_cut() -> None:
    argv = [sys.executable, "-c", "from appliance.cli.main import main; main()", "ladder", "show"]
    env = {**os.environ, "COLUMNS": "40"}
    done = subprocess.run(
        [*argv, "--encoder", "nvenc"], env=env, capture_output=True, text=True, check=True
    ).stdout
    row = next(line for line in done.splitlines() if "720p" in line)
    assert all(value in row for value in ("1280x720", "2800", "3080", "128", "h264_nvenc", "p4"))
    assert "…" not in done


@pytest.mark.parametrize(
    "text", ["2001:db8:100:a::1", "fe80:ab:cd::5", "[/x]", "[link=https://x.example]y[/link]"]
)
def test_what_is_printed_stands_there_as_it_is(capsys: pytest.CaptureFixture[str], text: str) -> None:
    table = Table("from")
    table.add_row(text)
    console().print(table)
    assert text in capsys.readouterr().out


@pytest.mark.parametrize(("columns", "widest"), [("", 100), ("60", 60), ("1", 100)])
def test_every_setting_is_explained_in_a_pipe(tmp_path: Path, columns: str, widest: int) -> None:
    file = tmp_path / "appliance.yml"
    file.write_text("low_latency: false\nallowed_stream_keys: [a, b]\n")
    argv = [sys.executable, "-c", "from appliance.cli.main import main; main()", "control", "check-config"]
    env = {**os.environ, "COLUMNS": columns}
    done = subprocess.run([*argv, str(file)], env=env, capture_output=True, text=True, check=True).stdout
    good, *lines = done.splitlines()
    assert good == f"{file}: good"
    assert max(map(len, lines)) <= widest
    heads = [line for line in lines if not line.startswith(" ")]
    assert [head.partition(":")[0] for head in heads] == [name for name, *_ in describe()]
    assert {"low_latency: false", "allowed_stream_keys: [a, b]"} <= set(heads)
    words = " ".join(done.split())
    for _, default, allowed, meaning in describe():
        assert meaning in words
        assert f"allowed {allowed} meaning" in words
        assert default is not True or "default true" in words


@pytest.mark.parametrize(("columns", "widest"), [("", 100), ("70", 70)])
def test_findings_in_a_pipe_are_no_wider_than_a_page(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], columns: str, widest: int
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    long = "systemctl restart x; " * 20
    print_findings((critical("it is broken", long, "viewers see nothing", long).of("units"),))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "CRITICAL  it is broken"
    assert max(map(len, lines)) <= widest
    assert " ".join(" ".join(lines).split()).count("systemctl restart x;") == 40


def test_times_are_as_short_as_their_age_allows() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    assert short_time(now.isoformat(timespec="milliseconds")) == f"{now:%H:%M:%SZ}"
    assert short_time("2001-02-03T23:30:00-01:00") == "2001-02-04"
    assert short_time("-") == "-"
    assert short_time("0001-01-01T00:00:00+23:59") == "0001-01-01T00:00:00+23:59"


def test_a_length_of_time_is_told_in_one_unit() -> None:
    shown = [span(seconds) for seconds in (0.44, 12.3, 119, 120, 7199, 7200, 172_800)]
    assert shown == ["0.4 s", "12 s", "119 s", "2 min", "120 min", "2 h", "2 d"]


def test_the_demos_host_is_named_where_one_is_written_down(tmp_path: Path) -> None:
    file = tmp_path / ".demo.json"
    assert demo_prefix(file) == "ssh root@HOST"
    file.write_text(json.dumps({"ssh": "ssh -i k root@192.0.2.7"}))
    assert demo_prefix(file) == "ssh -i k root@192.0.2.7"


def test_the_command_is_a_path_in_a_checkout_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    assert program() == "appliance"
    (tmp_path / "pyproject.toml").touch()
    assert program() == ".venv/bin/appliance"


def test_who_may_not_open_the_demos_files_is_told_to_be_root(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(_area: str | None) -> None:
        raise PermissionError(13, "Permission denied", "/x/.lab/demo.lock")

    monkeypatch.setattr(main, "build_app", refuse)
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(SystemExit) as ended:
        main.main(["demo", "up"])
    assert ended.value.code == EX_NOPERM
    said = capsys.readouterr().err
    assert "/x/.lab/demo.lock: Permission denied" in said
    assert f"sudo {program()} demo up" in said
