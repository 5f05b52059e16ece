"""Hosts that share one Valkey, each a directory with its files and a control service of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import yaml

from appliance.control.view.tokens import ViewToken, issue
from appliance.media.stream_client import StreamClient
from appliance.names import StreamName
from appliance.ops.rotation import Rotation
from appliance.secrets.rotating import read_newest
from appliance.secrets.token_keys import TokenKeys
from appliance.settings import Settings
from appliance.state.valkey import State
from tests.integration.control.conftest import Service, Site
from tests.support.listening import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


VIEW, WEBHOOK, READER = "view-token-keys", "webhook-secret", "rtmp-reader-secret"
ADMIN, VALKEY = "admin-token", "valkey-password"
APPLIANCE = Path(sys.executable).with_name("appliance")


@dataclass
class Host:
    """A control service with its credentials."""

    name: str
    files: Path
    control: Service
    state: State

    @property
    def credentials(self) -> Path:
        return self.files / "credentials"

    @property
    def acl(self) -> Path:
        return self.files / "valkey" / "users.acl"

    def rotation(self, *running: str) -> Rotation:
        known = Settings.load(self.files / "appliance.yml")
        streams = StreamClient(self.files / "run", units=lambda: {StreamName(name) for name in running})
        return Rotation(self.credentials, known, self.name, self.state, streams, self.acl, lambda _: None)

    def keys(self) -> TokenKeys:
        return TokenKeys.load(self.credentials / VIEW)

    async def view(self, token: str) -> int:
        headers = {"X-Stream": "demo", "X-View-Token": token, "X-Real-IP": "192.0.2.7"}
        return await self.get("/auth/view", headers)

    async def administer(self, token: str) -> int:
        return await self.get("/api/v1/streams", {"Authorization": f"Bearer {token}"})

    async def get(self, path: str, headers: dict[str, str]) -> int:
        async with httpx.AsyncClient(base_url=self.control.url, timeout=10, trust_env=False) as http:
            return (await http.get(path, headers=headers)).status_code


@contextlib.asynccontextmanager
async def connected(socket: Path, files: Path) -> AsyncIterator[State]:
    state = State(socket, lambda: read_newest(files / "credentials", VALKEY))
    try:
        yield state
    finally:
        await state.close()


@contextlib.asynccontextmanager
async def another(site: Site, here: Host, *given: str) -> AsyncIterator[Host]:
    """A host `there` with the same Valkey, and `given` (else all) of the secrets of `here`; not started."""
    files, port = here.files / "there", free_port()
    (files / "credentials").mkdir(parents=True)
    for path in here.credentials.iterdir():
        if not given or path.name in given:
            shutil.copy(path, files / "credentials")
    values = yaml.safe_load((here.files / "appliance.yml").read_text()) | {"node": "there"}
    (files / "appliance.yml").write_text(yaml.safe_dump(values | {"media_root": str(files / "hls")}))
    settings = ("--settings", str(files / "appliance.yml"))
    control = Service(
        ["control", "serve", *settings, "--listen", f"127.0.0.1:{port}"],
        files / "control",
        {
            "CREDENTIALS_DIRECTORY": str(files / "credentials"),
            "DBUS_SYSTEM_BUS_ADDRESS": site.bus.address,
        },
        port=port,
    )
    try:
        async with connected(site.valkey.socket, files) as state:
            yield Host("there", files, control, state)
    finally:
        await control.end()


def token(keys: TokenKeys) -> str:
    """A view token that they sign."""
    now = time.time()
    return issue(keys, ViewToken(stream="demo", expires=now + 60), now=now)


async def noted(host: Host, name: str) -> bool:
    """Whether the control service of `name` has said what it holds."""
    return bool(await host.state.client.exists(f"appliance:secrets:held:{name}"))


async def command(host: Host, *arguments: str, given: str = "") -> tuple[int, str, str]:
    """Exit status, standard output and error of `appliance` on a host, with `given` on standard input."""
    process = await asyncio.create_subprocess_exec(
        *(str(APPLIANCE), *arguments),
        *(f"--settings={host.files / 'appliance.yml'}", f"--directory={host.credentials}"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, "PATH": f"{host.files / 'bin'}:{os.environ['PATH']}"},
    )
    out, error = await process.communicate(given.encode())
    assert process.returncode is not None
    return process.returncode, out.decode(), error.decode()
