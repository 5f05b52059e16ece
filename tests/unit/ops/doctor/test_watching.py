"""A viewer with this host's own view token: locked out is a finding, and not let in is told."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from appliance.names import StreamName
from appliance.ops.doctor import watching
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.stream_path import _Walk
from appliance.ops.doctor.watching import Watch
from appliance.secrets.making import make_missing
from appliance.settings import Settings
from appliance.state.registry import RegisteredStream
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEMO = StreamName("demo")
LOCKED_OUT = "delivery refuses this host's own view token"


class Refusing:
    """A delivery that answers every request with one status."""

    def __init__(self) -> None:
        self.status = 401
        self.asked: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note the path; answer and close."""
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def delivery() -> AsyncIterator[Refusing]:
    made = Refusing()
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def watched(delivery: Refusing, directory: Path, **settings: Any) -> Watch:
    """Return a watch of a host whose delivery asks who may watch."""
    known = Settings(delivery_port=delivery.port, **({"delivery_view_auth": True} | settings))
    return Watch(Host(settings=known, credentials=directory), DEMO)


@pytest.mark.parametrize(
    ("status", "policy", "found"),
    [
        (401, "token", [LOCKED_OUT]),
        (401, None, [LOCKED_OUT]),
        (401, "backend", []),
        (401, "silent", []),
        (402, "token", []),
        (403, "token", []),
    ],
)
async def test_a_fresh_token_of_the_host_is_refused(
    *,
    delivery: Refusing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    policy: str | None,
    found: list[str],
) -> None:
    async def asked(*_: Any) -> Any:
        if policy == "silent":
            raise StateUnavailableError("Valkey: silent")
        return policy and RegisteredStream(name=DEMO, created_at="", view=policy)  # type: ignore[arg-type]

    monkeypatch.setattr(watching, "asked", asked)
    make_missing(tmp_path, None)
    delivery.status = status
    watch = watched(delivery, tmp_path)
    assert [finding.what for finding in await watch.findings()] == found
    assert delivery.asked[0].startswith("/hls/t/ey")
    assert watch.reached == ("playlist" if found else "refused")


async def test_who_is_not_let_in_does_not_say_that_all_is_good(delivery: Refusing, tmp_path: Path) -> None:
    """Without a key nothing can be signed; with `delivery_viewer_networks` the host itself is kept out."""
    delivery.status = 403
    for asks in (True, False):
        watch = watched(delivery, tmp_path, delivery_view_auth=asks)
        assert await watch.findings() == []
        seen = await _Walk(watch._host, DEMO).delivery()
        assert seen == "not looked at: status 403, who may watch is not the doctor's to say"
