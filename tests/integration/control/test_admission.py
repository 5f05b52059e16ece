"""A publish beyond what was measured: 503, an audit line and an event, while those before it go on."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.capacity.figures import CpuFigures
from appliance.media.capacity.store import write_capacity
from appliance.media.rtmp.client import RtmpError
from tests.integration.control.conftest import eventually
from tests.support.status_file import iso, put
from tests.unit.media.capacity.measured import capacity

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site
    from tests.support.stub_backend import StubBackend

# A 720p30 stream, every rung encoded, takes 0.375 of it: with a fifth kept free there is room for two.
CPU = CpuFigures(
    cores=1.25,
    stream=0.0,
    decode=0.0,
    rungs={"720p": 0.01},
    source="1280x720@30",
    streams=2,
    complete=True,
)


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend, tmp_path: Path) -> dict[str, Any]:
    write_capacity(tmp_path / "capacity.json", capacity(cpu=CPU))
    return {
        **settings,
        "allowed_stream_keys": ["demo", "second", "third", "fourth"],
        "capacity_file": str(tmp_path / "capacity.json"),
        "admission_source": "1280x720@30",
        "http_callback_url": backend.url,
    }


def told(backend: StubBackend, kind: str) -> list[dict[str, Any]]:
    bodies = (json.loads(request.body) for request in backend.requests if request.path == "/events")
    return [body["data"] for body in bodies if body["type"] == kind]


async def value(site: Site, name: str) -> float:
    lines = (await site.http.get("/metrics")).text.splitlines()
    return float(next(line for line in lines if line.startswith(f"{name} ")).split()[1])


async def test_a_publish_too_many_is_refused_until_one_ends(site: Site, backend: StubBackend) -> None:
    first, second = await site.publish("demo"), await site.publish("second")
    assert [event["encoder"] for event in site.control.events("publish")] == ["x264", "x264"]
    for _ in range(2):
        with pytest.raises(RtmpError):
            await site.publish("third")
    answer = await site.ask("publish", "third")
    assert (answer.status_code, answer.json()) == (503, {"detail": "No room for another stream"})

    refusals = [event for event in site.control.events("publish") if event["verdict"] == "refused"]
    assert {(event["stream"], event["status"]) for event in refusals} == {("third", 503)}
    assert refusals[0]["reason"].startswith(
        "no room: the CPU has 0.75 of 0.80 taken, and the stream may take 0.37; it counted as 1280x720@30"
    )
    await eventually(lambda: told(backend, "publish.refused"))
    [event] = told(backend, "publish.refused")
    assert (event["stream"], event["client_ip"], event["host"]) == ("third", "127.0.0.1", "here")
    assert event["reason"] == refusals[0]["reason"]
    asked = [request.body for request in backend.requests if request.path == "/auth/publish"]
    assert not [body for body in asked if b"third" in body], "nobody is asked about who has no room"

    assert await value(site, 'appliance_capacity_used_ratio{device="cpu"}') == pytest.approx(0.75, abs=0.01)
    assert await value(site, "appliance_capacity_refused_publishes_total") == 3
    assert await first.connected(0.2)
    assert await second.connected(0.2)
    assert await site.active() == {"demo", "second"}

    await second.close()
    await eventually(lambda: site.control.events("publish_done"))
    third = await site.publish("third")
    assert await third.connected(0.2)
    assert (await site.get("/streams/third"))["placement"]["gpu"] is None
    assert len(told(backend, "publish.refused")) == 1, "an encoder that comes back every second is told once"


async def test_a_publisher_that_comes_back_finds_its_room(site: Site, tmp_path: Path) -> None:
    """The service is restarted meanwhile: it knows the streams by what their processes write."""
    root, running = tmp_path / "hls", True
    rungs = [{"name": "720p", "width": 1280, "height": 720, "fps": 30.0, "copied": False}]
    states = {"demo": "live", "second": "live", "third": "live"}

    async def write() -> None:
        while running:
            for stream, state in states.items():
                fields = {"state": state, "run": 1, "rungs": rungs if state == "live" else []}
                put(root, {**fields, "updated": iso(time.time())}, stream=stream)
            await asyncio.sleep(0.2)

    task = asyncio.create_task(write())
    try:
        publisher = await site.publish("demo")
        await site.publish("second")
        await site.publish("third")
        await publisher.close()
        await eventually(lambda: site.control.events("publish_done"))
        states["demo"] = "waiting"
        await asyncio.sleep(0.3)
        with pytest.raises(RtmpError):
            await site.publish("fourth")
        again = await site.publish("demo")
        assert await again.connected(0.2)
    finally:
        running = False
        await task
