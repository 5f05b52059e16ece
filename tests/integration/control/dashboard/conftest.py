"""The dashboard as operators have it: behind delivery's nginx, with an operator who may sign in."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.secrets.passwords import PasswordDigest
from appliance.state.operators import Operators
from appliance.state.valkey import State
from tests.integration.control.processes import CHECKOUT, Server
from tests.support.listening import free_port
from tests.support.rendering import delivery_conf

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Site

NAME = "anna"
PASSWORD = "wolken-ziehen-7"
OURS = {"X-Dashboard": "1"}


@dataclass
class Front:
    """Delivery in front of a control service, and a browser's connection to it."""

    port: int
    http: httpx.AsyncClient

    @property
    def origin(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}"

    async def ask(self, method: str, path: str, body: object = None, **headers: str) -> httpx.Response:
        """Asks as the dashboard's own page does; `headers` take the place of its own."""
        own = {"Origin": self.origin, "Sec-Fetch-Site": "same-origin", **OURS}
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.request(method, f"/dashboard/{path}", json=body, headers={**own, **given})

    async def sign_in(self, name: str = NAME, password: str = PASSWORD) -> httpx.Response:
        """Signs in; the cookie stays."""
        return await self.ask("POST", "session", {"name": name, "password": password})

    async def operator(self) -> str | None:
        """Who is signed in."""
        answer = await self.ask("GET", "session")
        assert answer.status_code == 200
        found: str | None = answer.json()["operator"]
        return found


async def give_password(site: Site, name: str = NAME, password: str = PASSWORD) -> None:
    """What `appliance operators add` does."""
    state = State(site.valkey.socket, site.password)
    # As a digest of the command's, but for what it costs.
    cheap = PasswordDigest(cost=16, block=8, parallel=1, salt="5a" * 16, digest="")
    try:
        await Operators(state).put(name, replace(cheap, digest=cheap.made_of(password)))
    finally:
        await state.close()


def delivery(folder: Path, port: int, control_port: int, **settings: Any) -> Server:
    """The delivery nginx with the role's own configuration, not started."""
    folder.mkdir(parents=True)
    # As on a host, where no file is a link.
    root = shutil.copytree(CHECKOUT / "files/dashboard", folder / "dashboard")
    text = delivery_conf(
        port,
        folder.parent / "hls",
        folder / "run",
        delivery_access_log="none",
        delivery_statistics=False,
        delivery_player=False,
        control_listen=f"127.0.0.1:{control_port}",
        _delivery_dashboard_root=str(root),
        **settings,
    )
    (folder / "delivery.conf").write_text(text)
    command = ["nginx", "-p", str(folder), "-c", str(folder / "delivery.conf"), "-g", "daemon off;"]
    return Server(command, folder)


@pytest.fixture
async def front(site: Site, tmp_path: Path) -> AsyncIterator[Front]:
    """The dashboard, and the operator NAME."""
    (tmp_path / "hls").mkdir(exist_ok=True)
    port = free_port()
    nginx = delivery(tmp_path / "delivery", port, site.control.port)
    await give_password(site)
    await nginx.start()
    try:
        await nginx.until(port)
        origin = f"http://127.0.0.1:{port}"
        async with httpx.AsyncClient(base_url=origin, timeout=10, trust_env=False) as http:
            yield Front(port, http)
    finally:
        await nginx.end()
