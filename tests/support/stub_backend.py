"""A backend that behaves as a test says: a TCP server which answers with the bytes it is given."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Request:
    """What was received; header names in lower case."""

    path: str
    headers: dict[str, str]
    body: bytes


def answer(status: int, body: bytes = b"{}", *headers: str) -> bytes:
    """An HTTP answer as bytes."""
    lines = [f"HTTP/1.1 {status} x", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


@dataclass
class StubBackend:
    """Answers with `replies` in turn, the last of them for ever; None is silence, empty bytes hang up.

    `choose`, where it is set, says instead what a request gets; `seconds` is how long each answer takes.
    """

    replies: list[bytes | None] = field(default_factory=lambda: [answer(200)])
    requests: list[Request] = field(default_factory=list)
    choose: Callable[[Request], bytes | None] | None = None
    seconds: float = 0.0
    connections: int = 0
    host: str = "127.0.0.1"
    port: int = 0
    tls: bool = False

    @property
    def url(self) -> str:
        """Its address."""
        return f"{'https' if self.tls else 'http'}://{self.host}:{self.port}"

    @property
    def paths(self) -> list[str]:
        """Where it was asked, in order."""
        return [request.path for request in self.requests]

    @contextlib.asynccontextmanager
    async def listening(self, context: ssl.SSLContext | None = None) -> AsyncIterator[StubBackend]:
        """Serves inside the block."""
        self.tls = context is not None
        server = await asyncio.start_server(self._accept, self.host, self.port, ssl=context)
        self.port = server.sockets[0].getsockname()[1]
        self._serving: set[asyncio.Task[None]] = set()
        try:
            yield self
        finally:
            server.close()
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    @contextlib.contextmanager
    def beside(self) -> Iterator[StubBackend]:
        """Serves inside the block, in a thread, for tests that are no coroutines."""
        loop, ready = asyncio.new_event_loop(), threading.Event()
        end = asyncio.Event()

        async def serve() -> None:
            async with self.listening():
                ready.set()
                await end.wait()

        thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
        thread.start()
        try:
            assert ready.wait(10)
            yield self
        finally:
            loop.call_soon_threadsafe(end.set)
            thread.join(10)
            loop.close()

    def _reply(self, request: Request) -> bytes | None:
        if self.choose is not None:
            return self.choose(request)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.create_task(self._serve(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                first, *lines = head.strip().split("\r\n")
                headers = {
                    name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
                }
                body = await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append(Request(first.split()[1], headers, body))
                reply = self._reply(self.requests[-1])
                if reply is None:
                    await reader.read()  # until the other side leaves
                if not reply:
                    return
                await asyncio.sleep(self.seconds)
                writer.write(reply)
                await writer.drain()
        except (asyncio.IncompleteReadError, OSError):
            return  # the other side has left
        finally:
            writer.transport.abort() if writer.transport.get_write_buffer_size() else writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
