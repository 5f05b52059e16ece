"""A stream's process, its socket and the control service's keys together, on the files that both share."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from appliance.control import needed_keys
from appliance.control.app import create_app
from appliance.control.context import Control
from appliance.control.secrets import Secrets
from appliance.media.stream_client import StreamClient
from appliance.names import StreamName
from appliance.secrets.credentials import replace_credential
from appliance.secrets.keyring import Keyring
from appliance.secrets.making import make_missing
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.media.conftest import Encode, Ingest

DEMO = StreamName("demo")
# The shortest a live playlist may be, so that keys retire soon.
OPTIONS: dict[str, Any] = {
    "segment_seconds": 1,
    "window_segments": 6,
    "grace_seconds": 1,
    "retain_seconds": 1,
}


@dataclass
class Node:
    """A host with one stream."""

    root: Path
    settings: Settings
    http: httpx.AsyncClient
    control: Control
    client: StreamClient

    @property
    def keyring(self) -> Keyring:
        """The keyring on disk."""
        return Keyring.load(self.root / "credentials" / "content-keyring")

    def listed(self) -> set[str]:
        """The key ids that playlists name now."""
        texts = [path.read_text() for path in (self.root / "hls" / DEMO).rglob("index.m3u8")]
        return {kid for text in texts for kid in re.findall(r"keys/([^\"]+)", text)}

    async def status(self, kid: str) -> int:
        """What the control service answers to who asks for a key."""
        answer = await self.http.get(f"/keys/{DEMO}/{kid}")
        assert answer.headers["cache-control"] == "no-store"
        if answer.status_code == 200:
            assert answer.content == self.keyring.derive(kid, DEMO)
        return answer.status_code

    async def another(self, known: set[str]) -> str:
        """Waits until a playlist names a key beside `known`; each that is named has an answer meanwhile."""
        async with asyncio.timeout(30):
            while True:
                now = self.listed()
                for kid in now:
                    assert await self.status(kid) == 200
                if fresh := now - known:
                    return fresh.pop()
                await asyncio.sleep(0.05)

    async def retired(self, kid: str) -> None:
        """Waits until the key has no answer; it does while a playlist names it."""
        async with asyncio.timeout(60):
            answer = 200
            while answer == 200:  # it announces nothing
                await asyncio.sleep(0.1)
                answer = await self.status(kid)
        assert kid not in self.listed()


@pytest.fixture
async def node(
    tmp_path: Path, ingest: Ingest, clip: Encode, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Node]:
    """A stream that is live, as its unit runs it, and a control service."""
    monkeypatch.setattr(needed_keys, "SLACK_SECONDS", 1.0)
    for name in ("hls/demo", "run/demo"):
        (tmp_path / name).mkdir(parents=True)
    make_missing(tmp_path / "credentials", None)
    config = tmp_path / "appliance.yml"
    values = {"ingest_url": ingest.url, "media_root": str(tmp_path / "hls"), **OPTIONS}
    config.write_text(yaml.safe_dump({**values, "valkey_socket": str(tmp_path / "nobody.sock")}))
    settings = Settings.load(config)
    control = Control.build(settings, Secrets.load(tmp_path / "credentials"))
    http = httpx.AsyncClient(
        transport=httpx.ASGITransport(create_app(control), raise_app_exceptions=False),
        base_url="http://control",
    )
    program = "from appliance.cli.main import main; main()"
    log = os.open(tmp_path / "stream.log", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "stream", "run", DEMO, "--config", str(config)),
        env={
            **os.environ,
            "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials"),
            "RUNTIME_DIRECTORY": str(tmp_path / "run"),
        },
        stderr=log,
    )
    os.close(log)
    client = StreamClient(tmp_path / "run", units=lambda: {DEMO}, start_seconds=30)
    try:
        path = await clip(seconds=30, gop_s=1)
        await asyncio.to_thread(client.key, DEMO)  # it runs
        await ingest.publish(DEMO, "-re", "-stream_loop", "-1", "-i", str(path), "-c", "copy")
        yield Node(tmp_path, settings, http, control, client)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
        await process.wait()
        await http.aclose()
        await control.close()
        print((tmp_path / "stream.log").read_text())  # shown when the test has failed


async def test_keys_change_and_retire(node: Node) -> None:
    first = await node.another(set())
    assert (await asyncio.to_thread(node.client.key, DEMO)).kid == first

    await asyncio.to_thread(node.client.rotate, DEMO)
    second = await node.another({first})
    assert (await asyncio.to_thread(node.client.key, DEMO)).kid == second
    assert second.startswith("1-")

    # a new master: the control service has it before the stream uses it
    replace_credential(
        node.root / "credentials" / "content-keyring", node.keyring.with_next().promoted().dumps()
    )
    object.__setattr__(node.control, "keyring", node.keyring)
    assert (await asyncio.to_thread(node.client.hand_over, DEMO, node.keyring)).generation == 2
    third = await node.another({first, second})
    assert third.startswith("2-")
    made_up = third[:-1] + ("0" if third[-1] != "0" else "1")
    assert await node.status(made_up) == 404

    await node.retired(first)
    await node.retired(second)
    assert await node.status(third) == 200
