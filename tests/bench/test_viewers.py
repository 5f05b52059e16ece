"""How many watch, as `/metrics` says it, beside how many really do: 200 viewers who come and go.

Goal: within five in a hundred. Each viewer plays through delivery, under a name of its own: half of them
with low latency (the playlist anew with each part), half without (with each segment). Nobody says goodbye.
"""

from __future__ import annotations

import asyncio
import random
import statistics
import time
from typing import TYPE_CHECKING, Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.bench.conftest import Table
from tests.bench.http_load import Connection
from tests.bench.test_delivery import PLAYLIST, RUN, nginx, package  # noqa: F401 - fixtures
from tests.integration.control import preloaded
from tests.integration.control.conftest import Site, site  # noqa: F401 - a fixture
from tests.support import status_file
from tests.support.listening import free_port, running
from tests.support.own_network import DATAGRAMS_WAITING, own_network
from tests.support.rendering import delivery_conf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

VIEWERS = 200
STAY_SECONDS = 90.0
"""Mean; how long each stays is drawn anew."""
LASTS_SECONDS = 60.0
PAUSES = (0.25, 2.0)
"""Seconds between two questions for a playlist, with and without low latency."""


@pytest.fixture(autouse=True)
def network() -> Iterator[None]:
    """As many lines may wait as on a host: with the kernel's own ten, some are lost in this bench."""
    preloaded.server.cache_clear()  # it would start the service in the network in which it was started
    with own_network(DATAGRAMS_WAITING):
        yield
    preloaded.server.cache_clear()


@pytest.fixture
def settings() -> dict[str, Any]:
    return {"node": "here"}


class Audience:
    """Viewers; each that leaves is followed by another after a while."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._random = random.Random(1)
        self._came = 0
        self.watching = 0

    async def seat(self, pause: float) -> None:
        """One viewer after the other, for ever."""
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        while True:
            self._came += 1
            ends = time.monotonic() + self._random.expovariate(1 / STAY_SECONDS)
            head = f"Host: here\r\nUser-Agent: viewer {self._came}"
            request = f"GET /hls/{RUN}/index.m3u8 HTTP/1.1\r\n{head}\r\n\r\n"
            self.watching += 1
            while time.monotonic() < ends:
                assert await connection.ask(request.encode()) == 200
                await asyncio.sleep(pause * self._random.uniform(0.8, 1.2))
            self.watching -= 1
            await asyncio.sleep(self._random.expovariate(1 / 5))


async def counted(site: Site) -> float:  # noqa: F811
    """What the service says."""
    text = (await site.http.get("/metrics")).text
    return sum(
        sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == "appliance_stream_viewers"
    )


async def test_viewers_come_and_go(
    site: Site,  # noqa: F811
    tmp_path: Path,
    tables: list[Table],
    nginx: list[str],  # noqa: F811
    package: Path,  # noqa: F811
) -> None:
    media, port = tmp_path / "hls", free_port()
    status_file.put(media, status_file.content(time.time()))
    (media / RUN).mkdir(parents=True)
    (media / RUN / "index.m3u8").write_bytes(PLAYLIST)
    text = delivery_conf(port, media, tmp_path / "run", _delivery_traffic_socket=str(site.lines))
    text = text.replace("/etc/nginx/mime.types", str(package / "etc/nginx/mime.types"))
    (tmp_path / "delivery.conf").write_text(text)
    audience, errors = Audience(port), []
    with running([*nginx, "-p", tmp_path, "-c", tmp_path / "delivery.conf"], port):
        seats = [asyncio.create_task(audience.seat(PAUSES[number % 2])) for number in range(VIEWERS)]
        await asyncio.sleep(5 * max(PAUSES))
        ends = time.monotonic() + LASTS_SECONDS
        while time.monotonic() < ends:
            said = await counted(site)
            errors.append((said - audience.watching) / audience.watching)
            await asyncio.sleep(0.5)
        for seat in seats:
            seat.cancel()
        ended = await asyncio.gather(*seats, return_exceptions=True)
    assert all(isinstance(each, asyncio.CancelledError) for each in ended), ended
    row = [f"{statistics.mean(errors):+.1%}", f"{min(errors):+.1%}", f"{max(errors):+.1%}", str(len(errors))]
    title = f"viewers counted: {VIEWERS} seats, who sits there stays for {STAY_SECONDS:g} s"
    tables.append(Table(title, ["error, mean", "least", "most", "times looked"], [row]))
    assert abs(statistics.mean(errors)) < 0.05
