"""One line of JSON for each request, without its arguments: those may carry a key or a token."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record, untrusted

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from appliance.control.metrics.requests import RequestTally

_QUIET: Final = ("/auth/", "/dashboard/", "/keys/", "/health", "/metrics", "/ready")
"""Beginnings of paths of which only failures are worth a line: supervisors and monitors ask all the time,
decisions and what operators do have a line of their own, and who got a key stands in delivery's log.
"""


class AccessLog:
    """ASGI middleware that counts requests in `tally`.

    Written against the protocol itself because every key request passes here.
    """

    def __init__(self, app: ASGIApp, *, tally: RequestTally) -> None:
        self._app = app
        self._tally = tally

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Passes the request on and logs method, path, status and milliseconds."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500
        began = time.perf_counter()

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        finally:
            seconds = time.perf_counter() - began
            self._tally.note(scope["path"], status, seconds)
            if status >= 400 or not scope["path"].startswith(_QUIET):
                record(
                    "request",
                    method=scope["method"],
                    path=untrusted(scope["path"]),
                    status=status,
                    ms=round(seconds * 1000, 1),
                )
