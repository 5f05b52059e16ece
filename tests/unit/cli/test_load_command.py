"""`appliance load`: what is measured is kept and told; where nothing is live, nothing is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from appliance.cli import load as cli
from appliance.cli.main import main
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.load import Load

FOUND = Load("2026-01-01T00:00:00+00:00", 60.0, 3, 120, (), "1.0", 8, 16000)


def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *arguments: str, live: int = 3, found: Load = FOUND
) -> int:
    """Return the exit status of the command as root of a host with `live` streams."""

    async def summary(_: Host) -> dict[str, Any]:
        return {"streams_live": live}

    async def measure(_: Host, seconds: float) -> Load:
        assert seconds == 60
        return found

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(cli, "summary", summary)
    monkeypatch.setattr(cli, "measure", measure)
    monkeypatch.setattr(cli, "Host", lambda **given: Host(**given, load_file=tmp_path / "var/load.json"))
    settings = tmp_path / "appliance.yml"
    settings.touch()
    with pytest.raises(SystemExit) as left:
        main(["load", "--minutes", "1", "--settings", str(settings), *arguments])
    return int(left.value.code or 0)


def test_what_was_carried_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch) == 0
    assert capsys.readouterr().out == "3 streams, at most 120 connections, 60 s: no trouble\n"
    assert Load.read(tmp_path / "var/load.json") == FOUND


def test_trouble_is_kept_and_told_by_the_exit_status(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    troubled = Load("2026-01-01T00:00:00+00:00", 60.0, 3, 120, ("stream x lags",), "1.0", 8, 16000)
    assert run(tmp_path, monkeypatch, "--json", found=troubled) == 1
    assert json.loads(capsys.readouterr().out)["troubles"] == ["stream x lags"]
    assert Load.read(tmp_path / "var/load.json") == troubled


def test_nothing_live_is_nothing_to_measure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path, monkeypatch, live=0) == 69
    assert "nothing is live" in capsys.readouterr().err
    assert not (tmp_path / "var").exists()
