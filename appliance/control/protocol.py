"""HTTP for callers that may be hostile: a request's head has a size and a time, both bounded.

uvicorn's own implementation waits for the end of a head for ever, and keeps whatever comes until then. In
front of the service stands an nginx that bounds both; whoever is on the host itself does not pass it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from appliance.control.gathered_writes import GatheredWrites

if TYPE_CHECKING:
    import asyncio

HEAD_SECONDS: Final = 5.0
"""From the connection, or from the first byte of a later request, until its head is complete."""

HEAD_BYTES: Final = 32 * 1024
"""Address and headers together; nginx passes on 32 kB at most (`large_client_header_buffers`)."""

HEADERS: Final = 100
"""How many there may be: each costs more than its bytes. A browser sends twenty."""

_BETWEEN: Final = len(": \r\n")


class _HeadTooLongError(Exception):
    """A request's head is complete, and has too many bytes or headers."""


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1, which hangs up on those who send too much or too slowly."""

    _head_timer: asyncio.TimerHandle | None = None
    _head_bytes = 0
    _is_long = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(GatheredWrites(transport, self.loop))  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_complete()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        awaited = self._head_timer
        # Only heads that are complete with such a read are looked at again; it costs the others nothing.
        self._is_long = self._head_bytes + len(data) > HEAD_BYTES
        super().data_received(data)
        if self._head_timer is None:
            return
        # By reads, as the parser gives a header only once it is whole. What a request before this one had of
        # the read is counted with it: a pipelined head may be as long as one read less.
        self._head_bytes = self._head_bytes + len(data) if self._head_timer is awaited else len(data)
        if self._head_bytes > HEAD_BYTES:
            self._hang_up("a request's head is too long")

    def on_message_begin(self) -> None:
        if self._head_timer is None:
            self._await_head()
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._head_complete()
        if len(self.headers) > HEADERS or (self._is_long and self._whole_head() > HEAD_BYTES):
            raise _HeadTooLongError  # uvicorn takes it for the parser's: it answers 400, and closes
        super().on_headers_complete()

    def _whole_head(self) -> int:
        """Bytes of address and headers, as near as what the parser leaves of them tells."""
        return len(self.url) + sum(len(name) + len(value) + _BETWEEN for name, value in self.headers)

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(HEAD_SECONDS, self._hang_up, "a request's head is too slow")

    def _head_complete(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _hang_up(self, reason: str) -> None:
        self._head_complete()
        if not self.transport.is_closing():
            self.logger.warning(reason)
            self.transport.close()
