"""The example backend as its README starts it, asked and told by our own client."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import replace
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
    call = path.removeprefix("/auth/")
    fields = {"call": call, "app": "live", "name": name, "addr": "192.0.2.7", "clientid": "1"}
    content = urlencode(fields).encode() if form == "form" else json.dumps(fields).encode()
    kind = FORM if form == "form" else "application/json"
    assert await post(url, path, content, kind, SECRET) == status


async def test_it_hears_nobody_else(url: str) -> None:
    for path in ("/auth/publish", "/auth/play", "/auth/publish_done", "/events"):
        assert await post(url, path, b"name=demo", FORM, OLD) == 401
        async with httpx.AsyncClient(trust_env=False) as http:
            assert (await http.post(url + path, content=b"name=demo")).status_code == 401
    assert await post(url, "/auth/publish", b"call=publish&name=demo", FORM, OLD, SECRET) == 200


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
    for path in ("/auth/publish", "/auth/play", "/auth/publish_done"):
        assert await post(url, path, started.body.encode(), "application/json", SECRET) == 400
        asked = 200 if path == "/auth/publish" else 400
        assert await post(url, path, question, FORM, SECRET) == asked
        as_json = json.dumps({"call": "publish", "name": "demo"}).encode()
        assert await post(url, path, as_json, "application/json", SECRET) == asked


async def test_a_beginning_that_is_told_late_puts_nobody_on_air(url: str) -> None:
    """`appliance events replay` tells it behind its own end, or behind the next publisher's beginning."""

    async def tell(*events: Event) -> set[str]:
        for event in events:
            sent = post(
                url, "/events", event.body.encode(), "application/json", SECRET, identity=event.identity
            )
            assert await sent == 200
        async with httpx.AsyncClient(trust_env=False) as http:
            return {data["session"] for data in (await http.get(f"{url}/on-air")).json().values()}

    began, ended = [], []
    for session in ("1", "2"):
        began.append(Event.new("publish.started", "demo", {"session": session}))
        await asyncio.sleep(0.005)  # an event's time is in milliseconds
        ended.append(Event.new("publish.ended", "demo", {"session": session, "reason": "left"}))
    assert await tell(ended[0], began[0]) == set()
    other = [replace(event, identity=f"{event.identity}_2") for event in began]
    assert await tell(began[1], other[0]) == {"2"}
    assert await tell(ended[1], replace(began[0], identity="evt_3"), other[1]) == set()
    # neither of this one's events was told before the next publisher's
    third, fourth = (Event.new("publish.started", "studio", {"session": session}) for session in "34")
    fourth = replace(fourth, body=fourth.body.replace('"timestamp": "2', '"timestamp": "3'))
    assert await tell(fourth, third) == {"4"}
    assert await tell(Event.new("publish.ended", "studio", {"session": "3"})) == {"4"}


@pytest.mark.parametrize(
    ("told", "status"),
    [
        ({"type": "publish.started", "timestamp": "2026", "data": {"session": "1"}}, 200),
        ({"type": "publish.ended", "timestamp": "2026", "data": {}}, 200),
        ({"type": "publish.started", "data": {"stream": ["demo"], "session": {}}}, 200),
        ({"type": "key.rotated", "timestamp": "2026", "data": {"key": "master-key"}}, 200),
        ({"type": "publish.started", "data": []}, 400),
        ([], 400),
        ("{", 400),
    ],
)
async def test_what_it_cannot_use_is_no_error_of_its_own(url: str, told: Any, status: int) -> None:
    content = told if isinstance(told, str) else json.dumps(told)
    assert await post(url, "/events", content.encode(), "application/json", SECRET) == status
    async with httpx.AsyncClient(trust_env=False) as http:
        assert (await http.get(f"{url}/on-air")).json() == {}
    assert await post(url, "/auth/publish", b"\xff\xfe", FORM, SECRET) == 400
