"""How many decisions the control service makes on one core, and how long a caller waits for one.

Goals: at 500 requests a second, 99 of 100 publishes are answered within 10 ms and 99 of 100 views within
5 ms; and 0.6 of the requests that Starlette answers with a route that does nothing, in the same server, for
each second of CPU. The service has one core, everything else (Valkey, nginx, systemd's stand-in, the load)
has the other. Of publishes, half of the requests are their ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import statistics
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from appliance.control.view.tokens import ViewToken, issue
from appliance.secrets.content_keys import KeyId
from appliance.secrets.token_keys import TokenKeys
from tests.bench.conftest import ROUNDS, Table
from tests.bench.http_load import Plan
from tests.bench.test_delivery import nginx, package  # noqa: F401 - fixtures
from tests.integration.control.conftest import Site, site  # noqa: F401 - a fixture
from tests.integration.control.processes import CHECKOUT, Server
from tests.support.listening import free_port, running
from tests.support.rendering import delivery_conf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


STREAMS = 200
VIEWERS = 5000
RATE = 500
"""Requests a second of the open loop."""
SEGMENT_SECONDS = 2.0
OPEN_SECONDS = 4.0
CLOSED_SECONDS = 1.0
CONNECTIONS = 32


@dataclass(frozen=True)
class Answers:
    """What a load saw."""

    seconds: float
    statuses: dict[str, int]
    latencies_ms: list[float]

    @property
    def per_second(self) -> float:
        """Measured requests a second."""
        return len(self.latencies_ms) / self.seconds

    def percentile(self, hundredths: int) -> float:
        """A percentile of the latencies, ms."""
        return self.latencies_ms[min(len(self.latencies_ms) - 1, len(self.latencies_ms) * hundredths // 100)]


@dataclass(frozen=True)
class Kind:
    """A kind of decision: the lanes that ask for it, and the statuses that are right."""

    what: str
    lanes: list[list[str]]
    statuses: set[str]
    measured: int = 1


def request(method: str, path: str, headers: dict[str, str], body: str = "") -> str:
    """A request as it stands on the wire."""
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1", f"Content-Length: {len(body)}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "\r\n".join(lines) + "\r\n\r\n" + body


async def load(port: int, lanes: list[list[str]], **how: Any) -> Answers:
    """Has another process make the load."""
    plan = Plan(port=port, lanes=lanes, **how)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.http_load"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=CHECKOUT,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
    )
    out, _ = await process.communicate(json.dumps(asdict(plan)).encode())
    assert process.returncode == 0
    return Answers(**json.loads(out))


@pytest.fixture
def settings() -> dict[str, Any]:
    """As on a host; no reader is waited for, since none comes."""
    return {"node": "here", "view_policy": "token", "reader_wait_seconds": 0}


@pytest.fixture
async def cores(site: Site) -> AsyncIterator[int]:  # noqa: F811
    """The service has the last core to itself; its number."""
    *others, last = sorted(os.sched_getaffinity(0))
    if not others:
        pytest.skip("one core: the load would take it from the service")
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, others)
    for server in (site.valkey, site.nginx, site.bus):
        assert server.process is not None
        pin(server.process.pid, set(others))
    assert site.control.process is not None
    pin(site.control.process.pid, {last})
    # What stands in for systemd runs in this very process. Its collector, which looks through all that pytest
    # has loaded, would hold up ten publishes at a time; systemd itself has none.
    gc.collect()
    gc.disable()
    yield last
    gc.enable()
    os.sched_setaffinity(0, before)


def pin(pid: int, cores: set[int]) -> None:
    """Keeps all threads of a process on `cores`."""
    for thread in os.listdir(f"/proc/{pid}/task"):  # noqa: PTH208 - numbers
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), cores)


@pytest.fixture
async def bare(cores: int, tmp_path: Path) -> AsyncIterator[tuple[Server, int]]:
    """The route that does nothing, on the service's core, and its port."""
    port = free_port()
    server = Server(
        [sys.executable, "-m", "tests.bench.bare_route", str(port)],
        tmp_path / "bare",
        {"PYTHONPATH": str(CHECKOUT)},
    )
    await server.start()
    await server.until(port)
    assert server.process is not None
    pin(server.process.pid, {cores})
    yield server, port
    await server.end()


def publish_form(stream: str, key: str, client: int) -> str:
    """What nginx sends."""
    return (
        f"app=live&flashver=FMLE/3.0&swfurl=&tcurl=rtmp%3A%2F%2F192.0.2.1%2Flive&pageurl=&addr=127.0.0.1"
        f"&clientid={client}&call=publish&name={stream}&type=live&key={key}"
    )


async def publishes(site: Site) -> Kind:  # noqa: F811
    """Streams with a key each, published and left again."""

    async def registered(number: int) -> list[str]:
        name = f"stream{number}"
        await site.api("PUT", f"streams/{name}", {})
        key = (await site.api("POST", f"streams/{name}/keys", {})).json()["key"]
        form = {"Content-Type": "application/x-www-form-urlencoded", "Connection": "keep-alive"}
        body = publish_form(name, key, 1000 + number)
        return [request("POST", f"/auth/{path}", form, body) for path in ("publish", "publish_done")]

    return Kind("publish", [await registered(number) for number in range(STREAMS)], {"200"})


def view_token(keys: TokenKeys, viewer: str) -> str:
    """A token for all streams."""
    now = time.time()
    return issue(keys, ViewToken(stream="*", expires=now + 3600, viewer=viewer), now=now)


def content_keys() -> Kind:
    """The key of a stream, as delivery asks for it."""
    return Kind("key", [[request("GET", f"/keys/demo/{KeyId.new(1)}", {})]] * CONNECTIONS, {"200"})


def views(what: str, keys: TokenKeys, viewers: int) -> Kind:
    """So many viewers, each with a token of its own, as delivery asks."""
    lanes = [
        [request("GET", "/auth/view", {"X-Stream": "demo", "X-View-Token": token, "X-Real-IP": "192.0.2.7"})]
        for token in (view_token(keys, f"viewer {number}") for number in range(viewers))
    ]
    return Kind(what, lanes, {"204"})


@dataclass
class Measure:
    """One server under a load of its own: how much it does on its core, and what callers wait."""

    site: Site
    bare: Server
    bare_port: int
    rows: list[list[str]] = field(default_factory=list)

    async def closed(self, server: Server, port: int, kind: Kind) -> float:
        """Requests for each second of the server's CPU: on a busy machine its core is not all its own."""
        assert server.process is not None
        process = psutil.Process(server.process.pid)
        before = process.cpu_times()
        done = await load(port, kind.lanes, connections=CONNECTIONS, lasts=CLOSED_SECONDS)
        after = process.cpu_times()
        assert done.statuses.keys() <= kind.statuses, done.statuses
        return sum(done.statuses.values()) / (after.user - before.user + after.system - before.system)

    async def row(self, kind: Kind, alone: Kind) -> None:
        """Measures `kind` and `alone`, the bare route, in turn, and notes a row of the table."""
        port = self.site.control.port
        pairs = [
            (
                await self.closed(self.site.control, port, kind),
                await self.closed(self.bare, self.bare_port, alone),
            )
            for _ in range(ROUNDS)
        ]
        ratios = [ours / theirs for ours, theirs in pairs]
        lanes = kind.lanes * max(1, round(RATE * OPEN_SECONDS / len(kind.lanes)))
        rate = RATE / len(kind.lanes[0])
        opened = await load(port, lanes, connections=64, lasts=OPEN_SECONDS, rate=rate)
        assert opened.statuses.keys() <= kind.statuses, opened.statuses
        medians = [f"{statistics.median(column):,.0f}" for column in zip(*pairs, strict=True)]
        self.rows.append(
            [
                *(kind.what, *medians, f"{statistics.median(ratios):.2f}"),
                *(f"{min(ratios):.2f}-{max(ratios):.2f}", f"{opened.percentile(50):.2f}"),
                f"{opened.percentile(99):.2f}",
            ]
        )


async def test_decisions(site: Site, bare: tuple[Server, int], tmp_path: Path, tables: list[Table]) -> None:  # noqa: F811
    async def idle(_: str) -> None:
        await asyncio.Event().wait()

    site.systemd._run = idle
    keys = TokenKeys.load(tmp_path / "credentials" / "view-token-keys")
    nothing = Kind("bare route", [[request("GET", "/auth/view", {})]] * CONNECTIONS, {"204"})
    measure = Measure(site, *bare)
    known = views("view, a token seen before", keys, CONNECTIONS)
    await load(site.control.port, known.lanes, connections=CONNECTIONS, lasts=1, rounds=1)
    for kind in (
        await publishes(site),
        # more of them than one run asks for
        views("view, a token never seen", keys, 40_000),
        known,
        content_keys(),
    ):
        await measure.row(kind, nothing)
    header = ["decision", "each CPU second", "bare route", "ratio", "(range)", "p50 ms", "p99 ms"]
    tables.append(Table(f"control: decisions; latency at {RATE} requests a second", header, measure.rows))


async def test_a_rotation_before_five_thousand_viewers(  # noqa: PLR0917 - fixtures
    site: Site,  # noqa: F811
    cores: int,  # noqa: ARG001 - a fixture that does something
    tmp_path: Path,
    tables: list[Table],
    nginx: list[str],  # noqa: F811
    package: Path,  # noqa: F811
) -> None:
    """Each viewer, with a token of its own, asks delivery for the new key once, all within one segment."""
    keys, port = TokenKeys.load(tmp_path / "credentials" / "view-token-keys"), free_port()
    text = delivery_conf(
        port,
        tmp_path / "hls",
        tmp_path / "run",
        delivery_worker_connections=4096,
        delivery_view_auth=True,
        control_listen=f"127.0.0.1:{site.control.port}",
        _delivery_traffic_socket=str(site.lines),
    )
    text = text.replace("/etc/nginx/mime.types", str(package / "etc/nginx/mime.types"))
    (tmp_path / "delivery.conf").write_text(text)
    kid, rows = KeyId.new(1), []
    tokens = [view_token(keys, f"viewer {number}") for number in range(VIEWERS)]
    lanes = [[request("GET", f"/hls/demo/keys/{kid}", {"Cookie": f"view={token}"})] for token in tokens]
    how: dict[str, Any] = {"connections": 256, "lasts": SEGMENT_SECONDS, "rate": VIEWERS / SEGMENT_SECONDS}
    with running([*nginx, "-p", tmp_path, "-c", tmp_path / "delivery.conf"], port):
        # The first time nobody was asked about; then all were, within the seconds that delivery remembers it.
        for what in ("nobody let in yet", "all let in before"):
            asked = await load(port, lanes, **how)
            assert asked.statuses == {"200": VIEWERS}
            last = asked.latencies_ms[-1] / 1000
            rows.append(
                [
                    what,
                    f"{asked.per_second:,.0f}",
                    *(f"{asked.percentile(at):.1f}" for at in (50, 99)),
                    f"{last:.2f}",
                ]
            )
    title = f"keys through delivery: {VIEWERS} viewers, each asks once within {SEGMENT_SECONDS:g} s"
    tables.append(Table(title, ["viewers", "keys a second", "p50 ms", "p99 ms", "the last, s"], rows))
