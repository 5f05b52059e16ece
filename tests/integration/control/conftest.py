"""A control service among real neighbours: Valkey, an nginx with the RTMP module, a bus."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from appliance.secrets.making import make_missing
from appliance.state.leases import Leases
from appliance.state.valkey import State
from tests.integration.control.preloaded import fork
from tests.integration.control.processes import Bus, Nginx, Server, Valkey, valkey_command
from tests.integration.control.publisher import Publisher
from tests.integration.control.systemd import Systemd, read_stream
from tests.support.listening import free_port
from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from valkey.asyncio import Valkey as ValkeyClient

ALLOWED = ["demo", "second", "third"]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says which program stood for the state."""
    if valkey_command.cache_info().currsize:
        terminalreporter.write_line(f"state: {' '.join(valkey_command())}")


@dataclass
class Service(Server):
    """The control service as its unit runs it."""

    port: int = 0

    async def start(self) -> None:
        """Starts it."""
        self.directory.mkdir(parents=True, exist_ok=True)
        environment = {**os.environ, **self.environment}
        with self.log.open("ab") as log:
            self.process = await fork(self.command, self.directory, environment, log.fileno())

    async def up(self) -> None:
        """Starts it and waits until it answers."""
        await self.start()
        await self.until(self.port)
        # It listens before it is ready: the question waits in the socket, as it does behind systemd's.
        async with httpx.AsyncClient(base_url=self.url, timeout=20, trust_env=False) as http:
            assert (await http.get("/health")).status_code == 200

    @property
    def url(self) -> str:
        """Its address."""
        return f"http://127.0.0.1:{self.port}"

    def events(self, name: str) -> list[dict[str, Any]]:
        """The log's lines of one kind."""
        lines = (json.loads(line) for line in self.log.read_text().splitlines() if line.startswith("{"))
        return [line for line in lines if line["event"] == name]


@dataclass
class Site:
    """Everything around one control service."""

    valkey: Valkey
    nginx: Nginx
    bus: Bus
    systemd: Systemd
    control: Service
    secret: str
    password: str
    admin_token: str
    http: httpx.AsyncClient
    lines: Path
    publishers: list[Publisher] = field(default_factory=list)

    async def publish(self, name: str) -> Publisher:
        """An encoder publishes `name`. Raises RtmpError when it is refused."""
        publisher = await Publisher.publish(self.nginx.url, name)
        self.publishers.append(publisher)
        return publisher

    async def ask(self, path: str, name: str, *, client: str = "900", **fields: str) -> httpx.Response:
        """Posts a callback as nginx would."""
        form = {"app": "live", "addr": "127.0.0.1", "clientid": client, "call": path, "name": name, **fields}
        return await self.http.post(f"/auth/{path}", data=form)

    async def api(
        self, method: str, path: str, body: object = None, *, token: str | None = None, **headers: str
    ) -> httpx.Response:
        """Asks the API, as the host's own commands do unless `token` is given."""
        bearer = {"Authorization": f"Bearer {self.admin_token if token is None else token}"}
        return await self.http.request(method, f"/api/v1/{path}", json=body, headers={**bearer, **headers})

    async def get(self, path: str) -> Any:
        """The JSON at `path`."""
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()

    async def active(self) -> set[str]:
        """The streams that hold a lease."""
        return set((await self.get("/streams/active"))["active_streams"])

    async def on_air(self) -> str:
        """nginx's own statistics."""
        return (await self.http.get("/stat")).text

    @contextlib.asynccontextmanager
    async def leases(self) -> AsyncIterator[Leases]:
        """Direct access to the leases, as another host has it."""
        state = State(self.valkey.socket, self.password)
        try:
            yield Leases(state, 30)
        finally:
            await state.close()

    @contextlib.asynccontextmanager
    async def valkey_client(self) -> AsyncIterator[ValkeyClient]:
        """Direct access to Valkey, as an operator has it."""
        state = State(self.valkey.socket, self.password)
        try:
            yield state.client
        finally:
            await state.close()


async def eventually(question: Callable[[], Any], seconds: float = 10) -> None:
    """Waits until `question` (which may return an awaitable) is true; there is no event to wait for."""
    async with asyncio.timeout(seconds):
        while True:
            answer = question()
            if asyncio.iscoroutine(answer):
                answer = await answer
            if answer:
                return
            await asyncio.sleep(0.05)


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings of the service under test; a test may override the fixture."""
    return {"allowed_stream_keys": ALLOWED, "reconcile_seconds": 0.5, "lease_seconds": 10, "node": "here"}


@pytest.fixture
async def backend() -> AsyncIterator[StubBackend]:
    """A customer's backend, for tests whose settings name its address."""
    async with StubBackend().listening() as stub:
        yield stub


@pytest.fixture
async def valkey(tmp_path: Path) -> AsyncIterator[tuple[Valkey, str]]:
    """A Valkey and its password."""
    password = secrets.token_hex(32)
    server = Valkey(tmp_path / "valkey", password)
    await server.up()
    yield server, password
    await server.end()


@pytest.fixture
async def site(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Site]:
    """The whole: started before the test, gone after it."""
    credentials = tmp_path / "credentials"
    make_missing(credentials, None)
    password = (credentials / "valkey-password").read_text().strip()
    secret = (credentials / "rtmp-reader-secret").read_text().strip()
    admin_token = (credentials / "admin-token").read_text().strip()
    valkey, bus, port = Valkey(tmp_path / "valkey", password), Bus(tmp_path / "bus"), free_port()
    nginx = Nginx(tmp_path / "nginx", port, players="all" if settings.get("rtmp_play") else "127.0.0.1")
    systemd = Systemd(lambda stream: read_stream(nginx.url, stream, secret))
    file, lines = tmp_path / "appliance.yml", tmp_path / "traffic.sock"
    values = {
        "stat_url": nginx.stat_url,
        "ingest_control_socket": str(nginx.control_socket),
        "valkey_socket": str(valkey.socket),
        "ingest_url": nginx.url,
        "media_root": str(tmp_path / "hls"),
    }
    file.write_text(yaml.safe_dump({**values, "control_url": f"http://127.0.0.1:{port}", **settings}))
    control = Service(
        [
            "control",
            "serve",
            "--settings",
            str(file),
            "--listen",
            f"127.0.0.1:{port}",
            "--traffic",
            str(lines),
        ],
        tmp_path / "control",
        {"CREDENTIALS_DIRECTORY": str(credentials), "DBUS_SYSTEM_BUS_ADDRESS": bus.address},
        port=port,
    )
    client = httpx.AsyncClient(base_url=control.url, timeout=10, trust_env=False)
    site = Site(valkey, nginx, bus, systemd, control, secret, password, admin_token, client, lines)
    try:
        await asyncio.gather(valkey.up(), nginx.up(), bus.up())
        await systemd.connect(bus.address)
        await control.up()
        yield site
    finally:
        for publisher in site.publishers:
            await publisher.close()
        await client.aclose()
        await systemd.close()
        for server in (control, nginx, valkey, bus):
            await server.end()
