"""`appliance streams show` as an operator calls it, with a stand-in for systemctl."""

from __future__ import annotations

import json
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli import main
from appliance.cli.stream_status import short_encoder, short_state
from appliance.errors import EX_UNAVAILABLE, EX_USAGE
from appliance.media.capacity.store import write_capacity
from appliance.media.status_reading import Reading
from tests.support import status_file
from tests.unit.media.capacity.measured import capacity, gpu

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Show = Callable[..., "Said"]


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A media root, and a systemctl that holds every unit for running."""
    systemd(tmp_path, "active")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    (tmp_path / "appliance.yml").write_text(
        f"media_root: {tmp_path / 'hls'}\nnode: origin.example\ndelivery_port: 8181\n"
    )
    return tmp_path / "hls"


def systemd(place: Path, state: str) -> None:
    (place / "systemctl").write_text(f"#!/bin/sh\necho {state}\n[ {state} = active ]\n")
    (place / "systemctl").chmod(0o755)


@dataclass(frozen=True)
class Said:
    """What a call printed, and how it ended."""

    status: int
    out: str
    err: str


@pytest.fixture
def show(root: Path, capsys: pytest.CaptureFixture[str]) -> Show:
    """`appliance streams show` with further arguments."""

    def call(*arguments: str) -> Said:
        with pytest.raises(SystemExit) as ended:
            main.main(["streams", "show", f"--settings={root.parent / 'appliance.yml'}", *arguments])
        status = ended.value.code
        assert isinstance(status, int)
        return Said(status, *capsys.readouterr())

    return call


def test_all_that_an_operator_asks_of_a_stream_stands_in_a_pipe(root: Path, show: Show) -> None:
    status_file.put(root, status_file.content(time.time()))
    done = show("demo")
    assert (done.status, done.err) == (0, "")
    facts = {line[:11].strip(): line[11:].strip() for line in done.out.splitlines()}
    assert facts["state"].startswith("live since 20")
    assert facts["state"].endswith("(5 min ago): publishing")
    assert facts["source"] == "H.264 High 1920x1080 30 fps; a keyframe every 2 s; 6021 kbit/s"
    assert facts["encoder"] == "x264 (libx264): NVENC does not work here: [no device]"
    assert facts["copy"] == "the source is not copied: a keyframe every 9 s"
    assert facts["FFmpeg"] == "run 3: 29.9 fps, takes 100 % of what it is given, 0.2 s behind"
    assert facts["playlist"] == "http://origin.example:8181/hls/demo.m3u8"
    assert facts["published"].startswith("epoch abc12345: up to number 149, 2 discontinuities; the newest ")
    assert facts["content key"].startswith(f"{status_file.KID} since ")
    assert facts["last ending"].endswith("(3 min ago): the source has changed")
    rows = {cells[0]: cells[1:] for line in done.out.splitlines() if (cells := line.split("│")[1:-1])}
    table = {name.strip(): [cell.strip() for cell in cells] for name, cells in rows.items()}
    assert table["720p"] == ["1280x720", "30", "2800", "2750", "no", "149", "1"]
    assert table["audio"] == ["-", "-", "-", "128", "-", "150", "0"]
    assert "dropped: 1080p: encoding ran at 0.80 of real time" in done.out
    alert, over = (done.out.index(f"{word}: ") for word in ("ALERT: slow_encoding", "over: storage_full"))
    assert alert < over
    assert "it runs at 0.80 of real time\n  seen: 1, first 9" in done.out
    assert "  mends it: see what else takes the host's time" in done.out
    assert "OLD" not in done.out


def test_json_is_the_file_and_what_follows_from_it(root: Path, show: Show) -> None:
    content = status_file.content(time.time())
    status_file.put(root, content)
    shown = json.loads(show("demo", "--json").out)
    seen = shown.pop("seen")
    assert shown == content
    assert (seen["gone"], seen["unit"]) == (False, "active")
    assert seen["address"] == "http://origin.example:8181/hls/demo.m3u8"
    assert 1.5 <= seen["newest_segment_age"] < 20
    assert 180 <= seen["content_key_age"] < 200


@pytest.mark.parametrize(("unit", "late"), [("inactive", 0), ("failed", 0), ("active", 600)])
def test_a_status_without_its_process_is_said_to_be_old(
    root: Path, show: Show, unit: str, late: float
) -> None:
    systemd(root.parent, unit)
    status_file.put(root, status_file.content(time.time() - late))
    said = show("demo").out
    age = "10 min" if late else ""
    assert said.startswith(f"OLD: this was written {age}")
    assert f"ago, and stream@demo.service is {unit}\n" in said
    assert "systemctl status stream@demo.service; journalctl -u stream@demo.service" in said
    assert json.loads(show("demo", "--json").out)["seen"]["gone"] is True


def test_a_stream_that_nothing_is_known_of_yet(root: Path, show: Show) -> None:
    status_file.put(root, {"updated": status_file.iso(time.time()), "state": "waiting", "rungs": 7})
    done = show("demo")
    assert done.status == 0
    assert "waiting since ?: ?" in done.out
    assert "no alerts" in done.out


def test_an_unknown_stream_is_named_with_the_known_ones(root: Path, show: Show) -> None:
    for name in ("studio", "demo"):
        status_file.put(root, {}, stream=name)
    done = show("other")
    assert done.status == EX_UNAVAILABLE
    assert "other: there is no such stream on this host; there are: demo, studio\n" in done.err
    assert "appliance streams list" in done.err


def test_a_status_that_is_none_is_said(root: Path, show: Show) -> None:
    status_file.put(root, "{")
    done = show("demo")
    assert done.status == EX_UNAVAILABLE
    assert "journalctl -u stream@demo" in done.err


@pytest.mark.parametrize("name", ["../demo", "a.b", "demo/"])
def test_what_is_no_name_is_refused(show: Show, name: str) -> None:
    done = show(name)
    assert done.status == EX_USAGE
    assert "is not a stream name; allowed is" in done.err


def test_a_state_is_short_in_a_list() -> None:
    now = time.time()
    content: dict[str, Any] = status_file.content(now)
    assert short_state(Reading(content), now) == "live, 1 alert"
    assert short_state(Reading({**content, "alerts": []}), now) == "live"
    assert short_state(Reading(content), now + 60) == "gone"


def test_who_encodes_and_how_much_of_it_that_takes() -> None:
    now = time.time()
    said = status_file.content(now)
    encoded = {rung["name"]: rung["width"] * rung["height"] * rung["fps"] for rung in said["rungs"]}
    assert encoded == {"720p": 1280 * 720 * 30.0, "480p": 854 * 480 * 30.0}

    def shown(encoder: dict[str, Any] | None, *, measured: bool = True) -> str:
        reading = Reading({**said, "encoder": encoder})
        return short_encoder(reading, capacity(gpu(0), gpu(1, pixels=200.0)) if measured else None, now)

    assert shown({"family": "x264"}) == "x264, 16 %"
    assert shown({"family": "x264"}, measured=False) == "x264"
    assert shown({"family": "nvenc", "gpu": {"uuid": "GPU-1", "index": 1}}) == "gpu1, 20 %"
    assert shown({"family": "nvenc"}) == "gpu0, 4 %"
    assert shown({"family": "nvenc", "gpu": {"uuid": "GPU-2", "index": 2}}) == "gpu2"
    assert shown(None) == "-"
    assert short_encoder(Reading(said), capacity(), now + 60) == "-"


def test_the_list_tells_who_encodes_each_stream(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status_file.put(root, status_file.content(time.time()))
    write_capacity(root.parent / "capacity.json", capacity())
    settings = root.parent / "appliance.yml"
    settings.write_text(f"{settings.read_text()}capacity_file: {root.parent / 'capacity.json'}\n")
    answers: dict[str, Any] = {
        "active": {"active_streams": {"demo": {"started_at": "2026-01-01", "client_ip": "192.0.2.1"}}},
        "stats": {"stream_stats": {}},
    }
    monkeypatch.setattr("appliance.cli.streams._get", lambda url: answers[url.rpartition("/")[2]])
    with pytest.raises(SystemExit):
        main.main(["streams", "list", f"--settings={settings}"])
    head, row = (line for line in capsys.readouterr().out.splitlines() if "stream" in line or "demo" in line)
    cells = dict(
        zip(*([cell.strip() for cell in re.split("[┃│]", line)] for line in (head, row)), strict=True)
    )
    assert (cells["state"], cells["encoder"]) == ("live, 1 alert", "x264, 16 %")
    with pytest.raises(SystemExit):
        main.main(["streams", "list", f"--settings={settings}", "--json"])
    told = json.loads(capsys.readouterr().out)
    assert told["active_streams"] == answers["active"]["active_streams"]
    assert told["on_this_host"] == {"demo": {"state": "live, 1 alert", "encoder": "x264, 16 %"}}
