"""Requests that are slow, endless, ambiguous, or lead elsewhere."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

PATHS = [
    "/streams/..%2f..%2fetc%2fpasswd",
    "/streams/%2e%2e",
    "/streams/a%00b",
    "/streams/demo%0d%0aX-Evil:%201",
    "/keys/..%2f..%2f/1-0",
    "/keys/demo/..%2f..%2fstate.json",
    "/keys/demo%2f..%2fother/1-00000000000000000000000000000000",
    "/api/v1/streams/..%2f..%2fapi-tokens",
    "/auth/../streams/active/..",
]


async def test_paths_lead_nowhere_else(site: Site) -> None:
    for path in PATHS:
        status, head, body = await exchange(site, f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert status in {401, 404}, path
        assert b"evil" not in head.lower(), path
        assert b"root:" not in body


async def exchange(site: Site, sent: bytes, *, more: bytes = b"") -> tuple[int, bytes, bytes]:
    """Status, head and body of the answer to `sent`; status 0 when the service hung up without one.

    `more` is sent every half second until then.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", site.control.port)

    async def trickle() -> None:
        while True:
            await asyncio.sleep(0.5)
            writer.write(more)

    trickling = asyncio.create_task(trickle()) if more else None
    try:
        writer.write(sent)
        async with asyncio.timeout(9):
            head = await reader.readuntil(b"\r\n\r\n")
            status = int(head.split()[1])
            return status, head, await reader.read(1000) if b"content-length: 0" not in head else b""
    except (asyncio.IncompleteReadError, ConnectionResetError):
        return 0, b"", b""
    finally:
        if trickling is not None:
            trickling.cancel()
        writer.close()


async def test_who_is_slow_or_has_no_end_is_hung_up_on(site: Site) -> None:
    """All at once: each takes the five seconds that are given."""
    post = b"POST /auth/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nname="
    token = f"Authorization: Bearer {site.admin_token}".encode()
    put = b"PUT /api/v1/streams/demo HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n" + token
    chunked = put + b"\r\nTransfer-Encoding: chunked\r\n\r\n"
    endless = b"GET /health HTTP/1.1\r\nHost: x\r\nX-Long: " + b"a" * 100_000
    second = b"GET /health HTTP/1.1\r\nHost: x\r\n\r\nGET /health HTTP/1.1\r\nX-Slow: "
    answers = await asyncio.gather(
        exchange(site, b"GET /health HTTP/1.1\r\nX-Slow: ", more=b"a"),
        exchange(site, b""),
        exchange(site, endless),
        exchange(site, b"GET /" + b"a" * 100_000),
        exchange(site, b"GET /health HTTP/1.1\r\n" + b"X: y\r\n" * 20_000),
        exchange(site, post, more=b"a"),
        exchange(site, put + b"\r\nContent-Length: 1000\r\n\r\n{", more=b" "),
        exchange(site, chunked + b"10000\r\n" + b" " * 0x10000 + b"\r\n" + b"10\r\n" + b" " * 16 + b"\r\n"),
        exchange(site, second, more=b"a"),
    )
    assert [status for status, _, _ in answers] == [0, 0, 0, 0, 0, 400, 408, 413, 200]
    assert (await site.ask("publish", "demo")).status_code == 200
    assert "Traceback" not in site.control.log.read_text()


async def test_a_head_that_comes_at_once_has_the_same_bound(site: Site) -> None:
    """Whole, in one read or a few; with a body behind it, or behind another request."""
    ask, end = b"GET /health HTTP/1.1\r\nHost: x\r\n", b"\r\n\r\n"
    long, many = b"X-Long: " + b"a" * 100_000, b"\r\n".join([b"X: y"] * 1000)
    put = b"PUT /api/v1/streams/demo HTTP/1.1\r\nHost: x\r\nContent-Length: 60000\r\n"
    bearer = f"Authorization: Bearer {site.admin_token}\r\nContent-Type: application/json".encode()
    cases = [
        (ask + long + end, 400),
        (ask + b"X: " + b"a" * 33_000 + end, 400),
        (b"GET /health?" + b"a" * 40_000 + b" HTTP/1.1\r\nHost: x" + end, 400),
        (ask + many + end, 400),
        (ask + b"\r\n".join([b"X: y"] * 101) + end, 400),
        (ask + b"\r\n".join([b"X: y"] * 90) + end, 200),
        (ask + b"X: " + b"a" * 30_000 + end, 200),
        (put + bearer + end + b"{}" + b" " * 59_998, 201),  # it is the body that is long
    ]
    answers = await asyncio.gather(*(exchange(site, sent) for sent, _ in cases))
    assert [status for status, _, _ in answers] == [status for _, status in cases]
    assert "Traceback" not in site.control.log.read_text()


async def test_a_thousand_who_say_nothing_keep_nobody_out(site: Site) -> None:
    connections = [await asyncio.open_connection("127.0.0.1", site.control.port) for _ in range(1000)]
    try:
        assert (await site.ask("publish", "demo")).status_code == 200
        assert (await site.http.get("/health")).elapsed.total_seconds() < 2
    finally:
        for _, writer in connections:
            writer.close()


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"POST /auth/publish HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"POST /auth/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nname=",
        b"GET /health HTTP/1.1\r\nHost : x\r\n\r\n",
        b"GET /health HTTP/1.1\nX\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    ],
)
async def test_what_two_servers_would_read_differently_is_refused(site: Site, request_bytes: bytes) -> None:
    status, _, _ = await exchange(site, request_bytes)
    assert status == 400
    assert (await site.http.get("/health")).status_code == 200
