"""The example backend as its README starts it, asked and told by our own client."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import httpx
import pytest

from appliance.control.backend.client import BackendClient
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secret
from appliance.state.events import Event
from tests.integration.control.processes import Server
from tests.support.listening import free_port

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "backend"
OLD, SECRET = "the-secret-before-this-one", new_webhook_secret()
FORM = "application/x-www-form-urlencoded"


@pytest.fixture
async def url(tmp_path: Path) -> AsyncIterator[str]:
    port = free_port()
    command = [sys.executable, "-m", "uvicorn", "app:app", "--port", str(port), "--app-dir", str(EXAMPLE)]
    path = os.pathsep.join([str(EXAMPLE), os.environ.get("PYTHONPATH", "")])
    server = Server(command, tmp_path / "backend", {"WEBHOOK_SECRET": SECRET, "PYTHONPATH": path})
    await server.start()
    await server.until(port)
    yield f"http://127.0.0.1:{port}"
    await server.end()
    assert "Traceback" not in server.log.read_text()


async def post(url: str, path: str, content: bytes, kind: str, *secrets: str, identity: str = "msg_1") -> int:
    client = BackendClient(url, lambda: [parse_webhook_secret(secret) for secret in secrets])
    try:
        return await client.post(path, content, content_type=kind, identity=identity, seconds=20)
    finally:
        await client.close()


@pytest.mark.parametrize("form", ["form", "json"])
@pytest.mark.parametrize(
    ("path", "name", "status"),
    [
        ("/auth/publish", "demo", 200),
        ("/auth/publish", "other", 403),
        ("/auth/play", "demo", 200),
        ("/auth/play", "other", 402),
        ("/auth/publish_done", "demo", 200),
    ],
)
async def test_it_decides(url: str, form: str, path: str, name: str, status: int) -> None:
    fields = {"call": "publish", "app": "live", "name": name, "addr": "192.0.2.7", "clientid": "1"}
    content = urlencode(fields).encode() if form == "form" else json.dumps(fields).encode()
    kind = FORM if form == "form" else "application/json"
    assert await post(url, path, content, kind, SECRET) == status


async def test_it_hears_nobody_else(url: str) -> None:
    for path in ("/auth/publish", "/auth/play", "/auth/publish_done", "/events"):
        assert await post(url, path, b"name=demo", FORM, OLD) == 401
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url + path, content=b"name=demo")).status_code == 401
    assert await post(url, "/auth/publish", b"name=demo", FORM, OLD, SECRET) == 200


async def test_it_takes_an_event_once_and_knows_what_is_on_air(url: str) -> None:
    async def tell(event: Event) -> None:
        for _ in range(2):
            body = event.body.encode()
            sent = post(url, "/events", body, "application/json", SECRET, identity=event.identity)
            assert await sent == 200

    async def on_air() -> Any:
        async with httpx.AsyncClient(trust_env=False) as http:
            return (await http.get(f"{url}/on-air")).json()

    first, second = {"session": "1"}, {"session": "2"}
    await tell(Event.new("publish.started", "demo", first))
    await tell(Event.new("publish.started", "demo", second))
    await tell(Event.new("publish.ended", "demo", first))
    assert await on_air() == {"demo": {"stream": "demo", "session": "2"}}
    ended = Event.new("publish.ended", "demo", second)
    await tell(ended)
    assert await on_air() == {}


async def test_what_was_recorded_and_is_sent_again_changes_nothing(url: str) -> None:
    """Somebody on the way has signed requests; it can repeat them, in any order and to any path."""
    started = Event.new("publish.started", "demo", {"session": "1"})
    ended = Event.new("publish.ended", "demo", {"session": "1"})
    question = urlencode(
        {"call": "publish", "app": "live", "name": "demo", "addr": "", "clientid": "1"}
    ).encode()
    for event in (started, ended, started, ended, started):
        sent = post(url, "/events", event.body.encode(), "application/json", SECRET, identity=event.identity)
        assert await sent == 200
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{url}/on-air")).json() == {}
    assert await post(url, "/events", question, FORM, SECRET) == 400
    assert await post(url, "/auth/publish", started.body.encode(), "application/json", SECRET) == 403
    assert await post(url, "/auth/play", started.body.encode(), "application/json", SECRET) == 402
