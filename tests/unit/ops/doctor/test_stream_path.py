"""Where a stream stops: what a publisher was refused for, and a unit that ends again and again."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest

from appliance.health.stream import NVENC_MEND
from appliance.names import StreamName
from appliance.ops.doctor import stream_path
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.stream_path import follow
from appliance.ops.doctor.units import Unit
from appliance.settings import Settings
from appliance.subprocesses import Output

DEMO = StreamName("demo")
UNIT = "stream@demo.service"


def journal(monkeypatch: pytest.MonkeyPatch, host: Host, text: str) -> None:
    async def run(*_: str, **__: Any) -> Output:
        return Output(0, text, "")

    monkeypatch.setattr(host, "run", run)


def published(monkeypatch: pytest.MonkeyPatch, *publishers: StreamName) -> None:
    async def status(_: Host) -> Any:
        return SimpleNamespace(publishers=dict.fromkeys(publishers, SimpleNamespace(address="192.0.2.7")))

    async def names(_: Host) -> list[StreamName]:
        return [DEMO]

    monkeypatch.setattr(stream_path, "ingest_stat", status)
    monkeypatch.setattr(stream_path, "registered", names)


@pytest.mark.parametrize(
    ("status", "reason", "named", "other"),
    [
        (
            503,
            "no room: the CPU has 0.14 of 0.80 taken",
            ["streams list", "cpu probe", "admission: off"],
            "keys",
        ),
        (503, "no room: GPU 0 has 6 of 8 sessions", ["admission_source", "--limit"], "bans"),
        (503, "Valkey does not answer", ["appliance doctor"], "probe"),
        (409, "published on origin", ["appliance streams drop demo"], "keys"),
        (403, "its key is not known", ["appliance streams keys list demo", "bans list"], "probe"),
        (None, "?", ["appliance streams keys list demo"], "probe"),
    ],
)
async def test_what_mends_a_refusal_is_of_its_kind(
    monkeypatch: pytest.MonkeyPatch, status: int | None, reason: str, named: list[str], other: str
) -> None:
    host = Host()
    published(monkeypatch)
    verdict = {"event": "publish", "stream": DEMO, "verdict": "refused", "status": status, "reason": reason}
    journal(monkeypatch, host, json.dumps(verdict))
    [finding] = (await follow(host, DEMO)).findings
    assert finding.what == "whoever published demo was turned away"
    assert reason in finding.seen
    assert all(words in finding.mend for words in named)
    assert other not in finding.mend
    assert "NAME" not in finding.mend


@pytest.mark.parametrize(
    ("sub", "restarts", "what"),
    [
        ("start", "8", "ends again and again"),
        ("auto-restart", "8", "ends again and again"),
        ("start", "0", "does not run"),
    ],
)
async def test_a_unit_that_does_not_run_says_its_last_words(
    monkeypatch: pytest.MonkeyPatch, sub: str, restarts: str, what: str
) -> None:
    host = Host(settings=Settings(encoder="nvenc"))
    published(monkeypatch, DEMO)
    journal(monkeypatch, host, "appliance: h264_nvenc does not work on this host\n  set `encoder: auto`\n")

    async def units(_: Host) -> dict[str, Unit]:
        state = {"ActiveState": "activating", "SubState": sub, "NRestarts": restarts}
        return {UNIT: Unit(UNIT, state)}

    monkeypatch.setattr(stream_path, "ask_units", units)
    way = await follow(host, DEMO)
    [finding] = way.findings
    assert finding.what == f"{UNIT} {what}"
    assert finding.seen.endswith("its last words: h264_nvenc does not work on this host; set `encoder: auto`")
    assert finding.mend.startswith(NVENC_MEND)
    assert ("started again 8 times" in finding.seen) == (restarts == "8")
    assert way.described()["stops"] == "unit"
