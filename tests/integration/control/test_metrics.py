"""`/metrics` of the whole service: what it exports is well formed, and all that rules and dashboards name."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.media.capacity.store import write_capacity
from tests.integration.control.conftest import eventually
from tests.integration.control.processes import Server
from tests.support import status_file
from tests.support.expressions import DASHBOARDS, RULES, asked_for, names_in
from tests.support.listening import free_port
from tests.support.prometheus import command, promtool
from tests.support.rendering import render
from tests.support.shown_certificate import shown
from tests.support.stub_backend import StubBackend, answer
from tests.support.traffic import traffic_line
from tests.unit.media.capacity.measured import capacity
from tests.unit.media.capacity.measured import gpu as measured_gpu

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from tests.integration.control.conftest import Site

# What nvidia-smi prints for the fields of appliance/control/metrics/gpu.py.
GPU = "0, 37, 12, 5, 1024, 81559, 54, 3"

ALERTMANAGER = "alertmanager_notifications_failed_total"

ROTATION_DUE = "appliance_secret_rotation_due_timestamp_seconds"

Samples = dict[tuple[str, ...], float]


CERTIFICATE_ENDS = datetime(2099, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend, tmp_path: Path) -> Iterator[dict[str, Any]]:
    write_capacity(tmp_path / "capacity.json", capacity(measured_gpu()))
    with shown(tmp_path, CERTIFICATE_ENDS) as delivery:
        yield {
            **settings,
            "capacity_file": str(tmp_path / "capacity.json"),
            "http_callback_url": backend.url,
            "event_retry_seconds": 0.05,
            "delivery_tls_port": delivery.port,
        }


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
            channel.sendto(traffic_line(**given, address=f"192.0.2.{number}", **fields), str(site.lines))


@pytest.fixture(autouse=True)
def gpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A host with a GPU."""
    program = tmp_path / "bin" / "nvidia-smi"
    program.parent.mkdir()
    program.write_text(f"#!/bin/sh\necho '{GPU}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")


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
        ("appliance_valkey_append_only_file_rewrite_ok",): 1,
        ("appliance_valkey_snapshot_ok",): 1,
        ("appliance_stream_up", "demo"): 1,
        ("appliance_configured_reload_hold_seconds",): 1.2,
        ("appliance_configured_content_key_seconds",): 300,
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
        ("appliance_delivery_certificate_not_after_timestamp_seconds",): CERTIFICATE_ENDS.timestamp(),
        ("appliance_master_key_generation",): 1,
        ("appliance_gpu_utilization_ratio", "0"): 0.37,
        ("appliance_gpu_memory_bytes", "0"): 81559 * 2**20,
        ("appliance_gpu_encoder_sessions", "0"): 3,
        ("appliance_gpu_failed", "0"): 0,
        ("appliance_capacity_refused_publishes_total",): 0,
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert ("appliance_delivery_up",) in seen
    assert seen["appliance_rtmp_stream_received_bytes_total", "demo"] > 0
    assert seen["appliance_secret_created_timestamp_seconds", "master-key"] == pytest.approx(
        time.time(), abs=120
    )


async def _all_received(site: Site) -> bool:
    return ("appliance_stream_viewers", "demo") in read(await scraped(site))


async def test_promtool_finds_nothing_and_no_secret_is_told(busy: Site, tmp_path: Path) -> None:
    text = await scraped(busy)
    checked = await asyncio.to_thread(promtool, "check", "metrics", given=text)
    assert (checked.returncode, checked.stdout) == (0, ""), text
    for path in (tmp_path / "credentials").iterdir():
        for word in path.read_text().split():
            assert len(word) < 16 or word not in text, path.name
    assert "192.0.2." not in text


async def test_the_log_joins_a_publish_and_the_streams_life(busy: Site, tmp_path: Path) -> None:
    epoch = status_file.content(0)["media"]["epoch"]

    def joined() -> bool:
        status_file.put(tmp_path / "hls", status_file.content(time.time()))
        return bool(busy.control.events("on_air"))

    await eventually(joined)
    [allowed] = [line for line in busy.control.events("publish") if line["verdict"] == "allowed"]
    [on_air] = busy.control.events("on_air")
    assert (on_air["publication"], on_air["epoch"]) == (allowed["publication"], epoch)
    await busy.publishers[0].close()
    await eventually(lambda: bool(busy.control.events("publish_done")))
    [done] = [line for line in busy.control.events("publish_done") if line["stream"] == "demo"]
    assert done["publication"] == allowed["publication"]


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


@contextlib.asynccontextmanager
async def watched(site: Site, folder: Path) -> AsyncIterator[httpx.AsyncClient]:
    """A Prometheus as the role sets it up looks at the service; gives its API."""
    ports = {name: free_port() for name in ("prometheus", "alertmanager", "node")}
    rules = folder / "rules"
    rules.mkdir(parents=True)
    shutil.copy(RULES, rules)
    known: dict[str, Any] = {
        "inventory_hostname": "one",
        "groups": {"origins": ["one"], "monitors": ["one"]},
        "hostvars": {"one": {}},
        "control_listen": site.control.url.removeprefix("http://"),
        "monitoring_node_exporter_port": ports["node"],
        "monitoring_prometheus_listen": f"127.0.0.1:{ports['prometheus']}",
        "monitoring_alertmanager_listen": f"127.0.0.1:{ports['alertmanager']}",
        "monitoring_scrape_seconds": 1,
        "_monitoring_rules_folder": str(rules),
    }
    (folder / "prometheus.yml").write_text(render("monitoring", "prometheus.yml.j2", **known))
    servers = []
    for name, template in (("prometheus", "prometheus"), ("node", "node-exporter")):
        unit = render("monitoring", f"{template}.conf.j2", **known)
        [line] = re.findall(r"(?m)^ExecStart=/usr/bin/(.+)$", unit)
        program, *arguments = line.split()
        # As the unit has it, but for the places.
        line = " ".join(arguments)
        line = re.sub(r"config\.file=\S+", f"config.file={folder}/prometheus.yml", line)
        line = re.sub(r"tsdb\.path=\S+", f"tsdb.path={folder}/data", line)
        servers.append((Server([*command(program), *line.split()], folder / name), ports[name]))
    try:
        await asyncio.gather(*(server.start() for server, _ in servers))
        await asyncio.gather(*(server.until(port) for server, port in servers))
        base = f"http://127.0.0.1:{ports['prometheus']}"
        async with httpx.AsyncClient(base_url=f"{base}/api/v1/", timeout=10, trust_env=False) as http:

            async def ready() -> bool:
                return (await http.get(f"{base}/-/ready")).is_success

            await eventually(ready, 20)
            yield http
    finally:
        for server, _ in servers:
            await server.end()


def test_alertmanager_takes_what_the_role_writes(tmp_path: Path) -> None:
    file = tmp_path / "alertmanager.yml"
    given = {
        "monitoring_alert_webhook_url": "https://example.org/",
        "monitoring_alert_mail_to": "ops@example.org",
        "monitoring_alert_mail_from": "host@example.org",
    }
    file.write_text(render("monitoring", "alertmanager.yml.j2", **given))
    done = subprocess.run(
        [*command("amtool"), "check-config", str(file)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # It puts the two together itself.
    program = Path(command("prometheus-alertmanager")[-1]).read_bytes()
    assert ALERTMANAGER.removeprefix("alertmanager_").encode() in program


async def test_all_that_rules_and_dashboards_name_is_there(busy: Site, tmp_path: Path) -> None:
    asked = asked_for()
    assert len(DASHBOARDS) == 3
    async with watched(busy, tmp_path / "watched") as http:

        async def answered(path: str, **parameters: str) -> Any:
            answer = await http.get(path, params=parameters)
            assert answer.status_code == 200, (parameters, answer.text)
            return answer.json()["data"]

        async def all_up() -> bool:
            targets = (await answered("targets"))["activeTargets"]
            # Alertmanager does not run here: it wants Debian's templates where a host has them.
            return [target["health"] for target in targets].count("up") == 3 == len(targets) - 1

        await eventually(all_up, 20)
        names = {name for texts in asked.values() for text in texts for name in names_in(text)}
        assert {name for name in names if name.startswith("alertmanager_")} == {ALERTMANAGER}
        names -= {ALERTMANAGER, ROTATION_DUE}  # this machine has none of our timers
        assert {"up", "appliance_stream_viewers", "appliance:cpu_busy:ratio", "node_load1"} <= names

        async def missing() -> set[str]:
            tell(busy, 5)
            status_file.put(tmp_path / "hls", status_file.content(time.time()))
            return names - set(await answered("label/__name__/values"))

        with contextlib.suppress(TimeoutError):
            await eventually(lambda: _none(missing()), 20)
        assert await missing() == set()
        for where, texts in asked.items():
            for text in texts:
                assert (await answered("query", query=text))["resultType"] == "vector", where
        # What is ill for seconds wakes nobody.
        alerts = (await answered("alerts"))["alerts"]
        assert [alert for alert in alerts if alert["state"] == "firing"] == []
        rules = [rule for group in (await answered("rules"))["groups"] for rule in group["rules"]]
        assert {rule["health"] for rule in rules} == {"ok"}


async def _none(question: Any) -> bool:
    return not await question
