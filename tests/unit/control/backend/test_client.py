"""One request to a backend: what it carries, and that every fault of the other side ends in time."""

from __future__ import annotations

import asyncio
import ssl
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from appliance.control.backend.client import MAX_ANSWER, BackendClient, BackendSilentError
from appliance.control.backend.signature import verify
from appliance.secrets.webhook_secret import parse_webhook_secret
from tests.support.listening import free_port
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

SECRET = parse_webhook_secret("a-secret-of-the-customer")


@pytest.fixture
async def backend() -> AsyncIterator[StubBackend]:
    async with StubBackend().listening() as stub:
        yield stub


async def post(url: str, seconds: float = 5) -> int:
    client = BackendClient(url, lambda: [SECRET])
    try:
        return await client.post("/events", b"body", content_type="text/x", identity="msg_1", seconds=seconds)
    finally:
        await client.close()


async def test_what_is_sent_is_signed(backend: StubBackend) -> None:
    assert await post(backend.url + "/hooks") == 200
    [request] = backend.requests
    assert (request.path, request.body) == ("/hooks/events", b"body")
    assert request.headers["content-type"] == "text/x"
    assert verify([SECRET], request.headers, request.body, now=time.time()) == "msg_1"
    assert "x-nginx-signature" in request.headers
    assert SECRET.text not in str(request)


async def test_no_cookie_goes_from_one_question_into_the_next(backend: StubBackend) -> None:
    """A backend with sessions would take all viewers and publishers for one visitor."""
    backend.replies = [answer(200, b"{}", "Set-Cookie: session=of-the-first; Path=/", "Set-Cookie: b=2")]
    client = BackendClient(backend.url, lambda: [SECRET])
    for number in range(2):
        await client.post("/auth/play", b"", content_type="text/x", identity=f"msg_{number}", seconds=5)
    await client.close()
    assert ["cookie" in request.headers for request in backend.requests] == [False, False]


@pytest.mark.parametrize("status", [200, 204, 301, 402, 404, 500, 503])
async def test_the_status_is_the_answer(backend: StubBackend, status: int) -> None:
    backend.replies = [answer(status, b"", f"Location: {backend.url}/elsewhere")]
    assert await post(backend.url) == status
    assert backend.paths == ["/events"]  # a redirect is not followed


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (b"", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab", "no answer within"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "illegal chunk header"),
        (answer(200, b"x" * (MAX_ANSWER + 1)), "more than 16384 bytes"),
        (b"HTTP/1.1 200 OK\r\n" + b"x-y: z\r\n" * 20_000 + b"\r\n", "."),
        (None, "no answer within"),
    ],
    ids=["hang-up", "garbage", "half-a-body", "bad-chunks", "huge-body", "huge-headers", "silence"],
)
async def test_a_fault_is_silence_and_ends_in_time(
    backend: StubBackend, reply: bytes | None, reason: str
) -> None:
    backend.replies = [reply]
    began = asyncio.get_running_loop().time()
    with pytest.raises(BackendSilentError, match=reason):
        await post(backend.url, 0.5)
    assert asyncio.get_running_loop().time() - began < 2


async def test_an_answer_that_comes_drop_by_drop_ends_in_time_too() -> None:
    """Each byte comes within any limit between two reads; the limit is of the whole."""

    left = asyncio.Event()

    async def drip(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n")
        try:
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except OSError:
            writer.close()
            left.set()

    async with await asyncio.start_server(drip, "127.0.0.1", 0) as server:
        with pytest.raises(BackendSilentError, match="no answer within"):
            await post(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", 0.4)
        await asyncio.wait_for(left.wait(), 5)  # the connection is gone, not given back to the pool


async def test_nobody_there() -> None:
    with pytest.raises(BackendSilentError):
        await post(f"http://127.0.0.1:{free_port()}")


async def test_a_certificate_of_nobody_known_is_refused(tmp_path: Path) -> None:
    async with StubBackend().listening(self_signed(tmp_path)) as backend:
        with pytest.raises(BackendSilentError, match="CERTIFICATE_VERIFY_FAILED"):
            await post(backend.url)
        assert backend.requests == []


async def test_a_proxy_of_the_environment_is_not_asked(
    backend: StubBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")
    assert await post(backend.url) == 200


async def test_connections_are_kept(backend: StubBackend) -> None:
    client = BackendClient(backend.url, lambda: [SECRET])
    for number in range(5):
        await client.post("/x", b"", content_type="text/x", identity=str(number), seconds=5)
    await client.close()
    assert (len(backend.requests), backend.connections) == (5, 1)


def self_signed(directory: Path) -> ssl.SSLContext:
    """A server's TLS for 127.0.0.1 that no authority vouches for."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    file = directory / "server.pem"
    file.write_bytes(private + certificate.public_bytes(pem))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
