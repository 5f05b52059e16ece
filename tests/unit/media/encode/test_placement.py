"""Where to encode, as the control service says it over HTTP on the same host."""

from __future__ import annotations

import json

import pytest

from appliance.media.encode.gpus import GpuId
from appliance.media.encode.placement import Placement, ask_placement
from tests.support.stub_backend import StubBackend, answer


@pytest.mark.parametrize(
    ("placement", "expected"),
    [
        (
            {"gpu": {"uuid": "GPU-a1", "index": 1}, "reason": "GPU 1 has room"},
            Placement(GpuId("GPU-a1", 1), "GPU 1 has room"),
        ),
        ({"gpu": None, "reason": "the CPU has room"}, Placement(None, "the CPU has room")),
        ({"gpu": {"uuid": "../a", "index": 1}, "reason": ""}, None),
        ({"gpu": {"uuid": "GPU-a1", "index": -1}, "reason": ""}, None),
        ({"gpu": 1, "reason": "as a service of before says it"}, None),
        (None, None),
        ({"gpu": "x", "reason": ""}, None),
        ([], None),
    ],
)
async def test_what_it_answers(placement: object, expected: Placement | None) -> None:
    body = json.dumps({"stream": "demo", "placement": placement}).encode()
    async with StubBackend([answer(200, body)]).listening() as control:
        assert await ask_placement(control.url, "demo") == expected
        assert control.paths == ["/streams/demo"]


@pytest.mark.parametrize("reply", [answer(404), answer(200, b"{}"), answer(200, b"[" * 10_000), b""])
async def test_whatever_else_it_says_the_stream_begins(
    reply: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:9")
    async with StubBackend([reply]).listening() as control:
        assert await ask_placement(control.url, "demo") is None
    assert await ask_placement("http://127.0.0.1:9", "demo") is None
    assert caplog.text.count("does not say where to encode") == 2
