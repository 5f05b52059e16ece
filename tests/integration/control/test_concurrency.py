"""Many at once, at several services on one Valkey, as in a fleet: one publisher for each name."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

import httpx

from appliance.names import StreamName
from tests.support.listening import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Service, Site

PUBLISHES = 200
HOSTS = ["here", "host1", "host2", "host3"]
SERVICES = len(HOSTS)


@contextlib.asynccontextmanager
async def more_services(site: Site, directory: Path) -> AsyncIterator[list[Service]]:
    """SERVICES in all: the site's, and others with the same state, each a host of its own."""
    services = [site.control]
    for number in range(1, SERVICES):
        port, file = free_port(), directory / f"appliance-{number}.yml"
        file.write_text(
            (directory / "appliance.yml").read_text().replace("node: here", f"node: {HOSTS[number]}")
        )
        command = list(site.control.command)
        command[command.index("--settings") + 1] = str(file)
        command[command.index("--listen") + 1] = f"127.0.0.1:{port}"
        service = replace(
            site.control, command=command, directory=directory / f"control-{number}", port=port, process=None
        )
        services.append(service)
    try:
        await asyncio.gather(*(service.up() for service in services[1:]))
        yield services
    finally:
        for service in services[1:]:
            await service.end()


async def test_two_hundred_publishes_of_one_name_give_exactly_one(site: Site, tmp_path: Path) -> None:
    async with more_services(site, tmp_path) as services:
        # As nginx has it, each question has a connection of its own.
        limits = httpx.Limits(max_connections=PUBLISHES, max_keepalive_connections=0)
        async with httpx.AsyncClient(limits=limits, timeout=20, trust_env=False) as http:

            async def publish(number: int) -> int:
                form = {"app": "live", "addr": "127.0.0.1", "call": "publish", "name": "demo"}
                form["clientid"] = str(1000 + number)
                url = services[number % SERVICES].url
                return (await http.post(f"{url}/auth/publish", data=form)).status_code

            for _ in range(2):
                statuses = Counter(await asyncio.gather(*map(publish, range(PUBLISHES))))
                assert statuses == {200: 1, 409: PUBLISHES - 1}
                async with site.leases() as leases:
                    [lease] = await leases.all()
                    # Whose it is alone can give it back: each "done" but one changes nothing.
                    url = services[HOSTS.index(lease.host)].url
                    form = {"app": "live", "name": "demo", "addr": "127.0.0.1"}
                    for client in ("999", lease.client):
                        assert await leases.get(StreamName("demo")) is not None
                        await http.post(f"{url}/auth/publish_done", data={**form, "clientid": client})
                    assert await leases.get(StreamName("demo")) is None
