"""The certificate that delivery shows, whoever signed it, with and without a proxy before it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from appliance.health import shown_certificate
from appliance.health.shown_certificate import ask_certificate
from tests.support.listening import free_port
from tests.support.shown_certificate import shown

if TYPE_CHECKING:
    from pathlib import Path

LATER = datetime(2099, 5, 4, 3, 2, 1, tzinfo=UTC)
OVER = datetime(2020, 5, 4, 3, 2, 1, tzinfo=UTC)


@pytest.mark.parametrize("not_after", [LATER, OVER])
@pytest.mark.parametrize("proxied", [False, True])
async def test_it_is_read_whoever_signed_it_and_when_it_is_over(
    tmp_path: Path, not_after: datetime, *, proxied: bool
) -> None:
    with shown(tmp_path, not_after, proxied=proxied) as server:
        found = await ask_certificate(server.port, proxied=proxied)
    assert found is not None
    assert found.not_valid_after_utc == not_after
    assert server.lines == [b"PROXY UNKNOWN\r\n"] * proxied


async def test_without_tls_nobody_is_asked() -> None:
    assert await ask_certificate(0, proxied=False) is None
    assert await ask_certificate(free_port(), proxied=False) is None


async def test_who_does_not_speak_tls_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shown_certificate, "_SECONDS", 0.2)

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async def wrong(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    for answer in (silent, wrong):
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server, asyncio.timeout(2):
            port = server.sockets[0].getsockname()[1]
            assert await ask_certificate(port, proxied=False) is None
