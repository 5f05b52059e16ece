"""`appliance logs`: which lines of a host's journal are about a stream, and how they read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.main import main
from appliance.errors import EX_CONFIG, EX_USAGE
from appliance.ops.doctor.host import USER_AGENT
from appliance.ops.stream_log import read_line

if TYPE_CHECKING:
    from pathlib import Path

AT = 1_767_225_600_000_000


def entry(unit: str, message: object, **more: str) -> str:
    """Return an entry as `journalctl --output=json` prints it."""
    text = message if isinstance(message, str | list) else json.dumps(message)
    return json.dumps({"__REALTIME_TIMESTAMP": str(AT), "_SYSTEMD_UNIT": unit, "MESSAGE": text, **more})


CONTROL, DELIVERY, INGEST = (f"appliance-{name}.service" for name in ("control", "delivery", "ingest"))
SEGMENT = "/hls/demo/abc123/v720/17.m4s"
JOURNAL = [
    entry(CONTROL, {"event": "publish", "stream": "demo", "verdict": "allowed", "publication": "p1"}),
    entry(CONTROL, {"event": "publish", "stream": "demo-2", "verdict": "allowed"}),
    entry(CONTROL, {"event": "view_policy", "streams": ["a", "demo"]}),
    entry(CONTROL, {"event": "request", "path": "/keys/demo/1-0f", "status": 404}),
    entry(CONTROL, {"event": "request", "path": "/keys/demo2/1-0f", "status": 404}),
    entry(CONTROL, {"event": "on_air", "stream": "demo", "publication": "p1", "epoch": "abc123"}),
    entry("stream@demo.service", {"event": "live: publishing", "logger": "x", "epoch": "abc123"}),
    entry("stream@demo.service", "what FFmpeg said \x1b[31m"),
    entry("init.scope", "Started stream@demo.service.", UNIT="stream@demo.service"),
    entry(
        DELIVERY, {"uri": "/hls/demo/abc123/v720/17.m4s", "stream": "demo", "status": 404, "session": "5e55"}
    ),
    entry(DELIVERY, {"uri": "/hls/x.m3u8", "stream": "x", "status": 404}),
    entry(DELIVERY, {"uri": "/a", "stream": "demo", "remote_addr": "127.0.0.1", "user_agent": USER_AGENT}),
    entry(DELIVERY, {"uri": "/b", "stream": "demo", "remote_addr": "192.0.2.1", "user_agent": USER_AGENT}),
    entry(INGEST, "publish: 'demo' while it is taken"),
    entry(INGEST, "publish: 'demo_2' while it is taken"),
    entry(INGEST, [1, 2, 255]),
    "{broken",
]


@pytest.fixture
def journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A journalctl that notes how it was called and prints JOURNAL."""
    (tmp_path / "entries").write_text("\n".join(JOURNAL) + "\n")
    program = tmp_path / "journalctl"
    program.write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/called\ncat {tmp_path}/entries\nexit $(cat {tmp_path}/rc)\n'
    )
    program.chmod(0o755)
    (tmp_path / "rc").write_text("0")
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return tmp_path


def logs(*arguments: str) -> int:
    """Run the command; return its exit status."""
    with pytest.raises(SystemExit) as ended:
        main(["logs", *arguments])
    return int(ended.value.code or 0)


def test_all_that_is_about_the_stream_and_nothing_else(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logs("--stream", "demo", "--json") == 0
    said: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(line["unit"], line.get("event") or line.get("uri") or line["message"]) for line in said] == [
        (CONTROL, "publish"),
        (CONTROL, "view_policy"),
        (CONTROL, "request"),
        (CONTROL, "on_air"),
        ("stream@demo.service", "live: publishing"),
        ("stream@demo.service", "what FFmpeg said ?[31m"),
        ("stream@demo.service", "Started stream@demo.service."),
        (DELIVERY, SEGMENT),
        (DELIVERY, "/b"),  # a viewer who calls itself as the doctor does is no doctor
        (INGEST, "publish: 'demo' while it is taken"),
    ]
    assert {line["at"] for line in said} == {"2026-01-01T00:00:00.000+00:00"}
    called = (journal / "called").read_text()
    for unit in (CONTROL, DELIVERY, INGEST, "stream@demo.service"):
        assert f"--unit={unit}" in called
    assert "--since=-1h" in called


def test_one_id_leads_from_the_publish_to_the_viewer(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert logs("--stream", "demo", "--since", "today") == 0
    lines = capsys.readouterr().out.splitlines()
    assert "control     publish verdict=allowed publication=p1" in lines[0]
    assert [line.split()[1] for line in lines if "abc123" in line] == ["control", "stream@demo", "delivery"]
    assert "session=5e55" in lines[-3]
    assert "\x1b" not in "".join(lines)
    assert "--since=today" in (journal / "called").read_text()


@pytest.mark.usefixtures("journal")
def test_the_newest_lines_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert logs("--stream", "demo", "--lines", "2") == 0
    assert [line.split()[1] for line in capsys.readouterr().out.splitlines()] == ["delivery", "ingest"]
    assert logs("--stream", "demo", "--lines", "2", "--follow") == EX_USAGE


def test_a_viewers_player_can_neither_move_the_cursor_nor_hide(
    journal: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """nginx writes what a player calls itself as it is: control characters escaped, bytes as they came."""
    line = '{"uri": "/hls/demo.m3u8", "stream": "demo", "user_agent": "a\\u001b]0;title\\u0007b"}'
    latin = list(line.replace("title", "titl\xe9").encode("latin-1"))
    entries = (entry(DELIVERY, line), json.dumps({**json.loads(entry(DELIVERY, "")), "MESSAGE": latin}))
    (journal / "entries").write_text("\n".join(entries) + "\n")
    assert logs("--stream", "demo") == 0
    shown = [line.partition("user_agent=")[2] for line in capsys.readouterr().out.splitlines()]
    assert shown == ["a?]0;title?b", "a?]0;titl\ufffd?b"]


def test_what_is_wrong_is_said(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (journal / "entries").write_text("Failed to parse timestamp: nonsense\n")
    (journal / "rc").write_text("1")
    assert logs("--stream", "demo", "--since", "nonsense") == 69
    assert "Failed to parse timestamp: nonsense" in capsys.readouterr().err
    assert logs("--stream", "../x") == 64


def test_a_controller_says_which_host_to_ask(journal: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (journal / "entries").write_text("")
    assert logs("--stream", "demo") == EX_CONFIG
    assert "this machine is no streaming host" in capsys.readouterr().err


@pytest.mark.parametrize(
    "message", ['{"a":' + "[" * 100_000, [1, "x", None], [[[[]]]], '{"a": ' + "9" * 5000 + "}"]
)
def test_a_message_that_is_no_json_after_all_ends_nothing(message: object) -> None:
    line = read_line(entry(INGEST, message))
    assert line is None or line.fields is None


def test_a_line_of_brackets_without_end_is_none() -> None:
    assert read_line("[" * 100_000) is None
    assert read_line('{"MESSAGE": "x", "__REALTIME_TIMESTAMP": 1e999}') is None
