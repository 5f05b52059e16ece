"""`/metrics` of the whole service: what it exports is well formed, and all that rules and dashboards name."""

from __future__ import annotations

import asyncio
import socket
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.control.traffic import traffic_fields
from tests.integration.control.conftest import eventually
from tests.support import status_file
from tests.support.prometheus import promtool
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
    return {**settings, "http_callback_url": backend.url, "event_retry_seconds": 0.05}


def read(text: str) -> Samples:
    """The samples by name and labels' values, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


async def scraped(site: Site) -> str:
    """What a Prometheus gets."""
    answered = await site.http.get("/metrics")
    assert answered.status_code == 200, answered.text
    return answered.text


def tell(site: Site, count: int, **fields: str) -> None:
    """Sends lines as delivery's nginx does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as channel:
        for number in range(count):
            given = {"stream": "demo", "kind": "reload", "status": "200", "size": "700", "seconds": "0.19"}
            channel.sendto(traffic_fields(**given, address=f"192.0.2.{number}", **fields), str(site.lines))


@pytest.fixture
async def busy(site: Site, tmp_path: Path, backend: StubBackend) -> Site:
    """A service at which everything has happened once."""
    backend.replies = [answer(200)]
    status_file.put(tmp_path / "hls", status_file.content(time.time()))
    await site.publish("demo")
    assert (await site.ask("publish", "nobody", client="901")).status_code == 403
    assert (
        await site.http.get("/auth/view", headers={"X-Stream": "demo", "X-Real-IP": "::1"})
    ).status_code == 204
    assert (await site.http.get("/keys/demo/1-" + "0f" * 16)).status_code == 404
    tell(site, 5)
    await eventually(lambda: "/events" in backend.paths)
    return site


async def test_every_part_is_told_of(busy: Site) -> None:
    await eventually(lambda: _all_received(busy))
    seen = read(await scraped(busy))
    expected = {
        ("appliance_rtmp_up",): 1,
        ("appliance_rtmp_stream_publishing", "demo"): 1,
        ("appliance_valkey_up",): 1,
        ("appliance_valkey_primary",): 1,
        ("appliance_valkey_append_only_file_ok",): 1,
        ("appliance_stream_up", "demo"): 1,
        ("appliance_stream_viewers", "demo"): 5,
        ("appliance_delivery_sent_bytes_total", "reload", "demo"): 3500,
        ("appliance_delivery_requests_total", "2xx", "reload", "demo"): 5,
        ("appliance_delivery_reload_wait_seconds_count", "demo"): 5,
        ("appliance_delivery_reload_wait_seconds_bucket", "0.2", "demo"): 5,
        ("appliance_delivery_reload_wait_seconds_bucket", "0.1", "demo"): 0,
        ("appliance_control_requests_total", "200", "publish"): 1,
        ("appliance_control_requests_total", "403", "publish"): 1,
        ("appliance_control_requests_total", "204", "view"): 1,
        ("appliance_control_requests_total", "404", "key"): 1,
        ("appliance_control_request_duration_seconds_count", "publish"): 2,
        ("appliance_backend_requests_total", "200", "/auth/publish"): 1,
        ("appliance_backend_request_duration_seconds_count", "/auth/publish"): 1,
        ("appliance_backend_breaker_state", "closed"): 1,
        ("appliance_events", "dead"): 0,
        ("appliance_master_key_generation",): 1,
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert seen["appliance_rtmp_stream_received_bytes_total", "demo"] > 0
    assert seen["appliance_secret_created_timestamp_seconds", "master-key"] == pytest.approx(
        time.time(), abs=120
    )


async def _all_received(site: Site) -> bool:
    return ("appliance_stream_viewers", "demo") in read(await scraped(site))


async def test_promtool_finds_nothing(busy: Site) -> None:
    text = await scraped(busy)
    checked = await asyncio.to_thread(promtool, "check", "metrics", given=text)
    assert (checked.returncode, checked.stdout) == (0, ""), text


async def test_who_is_away_is_said_and_the_others_are_there(busy: Site) -> None:
    await busy.valkey.end()
    await busy.nginx.end()
    seen = read(await scraped(busy))
    assert seen["appliance_valkey_up",] == seen["appliance_rtmp_up",] == 0
    assert seen["appliance_stream_up", "demo"] == 1
    assert not any(name.startswith(("appliance_valkey_memory", "appliance_events")) for name, *_ in seen)
    await busy.valkey.up()
    await eventually(lambda: _valkey_up(busy))


async def _valkey_up(site: Site) -> bool:
    return read(await scraped(site))["appliance_valkey_up",] == 1


async def test_no_secret_is_told(busy: Site, tmp_path: Path) -> None:
    text = await scraped(busy)
    for path in (tmp_path / "credentials").iterdir():
        for word in path.read_text().split():
            assert len(word) < 16 or word not in text, path.name
    assert "192.0.2." not in text
