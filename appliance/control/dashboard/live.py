"""What goes on to a browser as it happens: server-sent events (HTML Living Standard, 9.2).

Events: `overview` (of `overview`), `happenings` (a list, with the position of the last one as its id, so
that a browser that comes back gets what it missed), `trouble` (a sentence), `signed-out`. Something comes
every few seconds, so a connection that is dead is noticed at both ends. It ends with the session, and with
the service.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Final

from starlette.responses import StreamingResponse

from appliance.control.api.problem import ProblemError
from appliance.control.dashboard.cookie import shown
from appliance.control.dashboard.overview import Overview
from appliance.control.dashboard.sampler import EVERY_SECONDS
from appliance.control.responses import NO_STORE
from appliance.state.happenings import Happenings, Placed
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response
    from starlette.types import Receive, Scope, Send

    from appliance.control.context import Control
    from appliance.state.operator_sessions import OperatorSessions, Session

_MOST: Final = 32
"""Connections to one host; each costs a few kilobytes every few seconds."""
_MOST_OF_ONE: Final = 8
"""Of one operator: windows that are looked at at the same time."""

_AT_FIRST: Final = 50
_POSITION: Final = re.compile(r"[0-9]{1,19}-[0-9]{1,19}", re.ASCII)

_HEADERS: Final = {
    **NO_STORE,
    "X-Accel-Buffering": "no",  # ngx_http_proxy_module: passed on as it comes
}


class _Events(StreamingResponse):
    """Events, and what is called when they end, also where the first one was never asked for."""

    def __init__(self, events: AsyncIterator[str], ended: Callable[[], None]) -> None:
        super().__init__(events, media_type="text/event-stream", headers=_HEADERS)
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._ended()


async def _nothing() -> AsyncIterator[str]:
    """What a HEAD gets: the headers alone."""
    empty: tuple[str, ...] = ()
    for event in empty:
        yield event


def _never_held() -> None:
    """What ends with the answer to a HEAD."""


class Live:
    """The endpoint `/dashboard/live`."""

    def __init__(self, control: Control, sessions: OperatorSessions) -> None:
        self._closing = control.closing
        self._sessions = sessions
        self._overview = Overview(control)
        self._happenings = Happenings(control.state)
        self._open = Counter[str]()

    async def stream(self, request: Request, session: Session) -> Response:
        """200 and what happens, for as long as it is wanted. Raises ProblemError 503 when too many look."""
        if request.method == "HEAD":
            return _Events(_nothing(), _never_held)
        if self._open.total() >= _MOST or self._open[session.operator] >= _MOST_OF_ONE:
            raise ProblemError(503, f"too many windows are open on this host; allowed are {_MOST}, "
                f"{_MOST_OF_ONE} of them of one operator", headers={"Retry-After": "10"})  # fmt: skip
        # Counted here, before anything is waited for: of many that come at once each sees those before it.
        self._open[session.operator] += 1
        return _Events(self._until_signed_out(request), lambda: self._close(session.operator))

    def _close(self, operator: str) -> None:
        self._open[operator] -= 1

    async def _until_signed_out(self, request: Request) -> AsyncIterator[str]:
        session_id = shown(request)
        position = request.headers.get("last-event-id", "")
        if not _POSITION.fullmatch(position):
            position = ""
        yield "retry: 3000\n\n"
        while not self._closing.is_set():
            try:
                if await self._sessions.find(session_id, used=False) is None:
                    yield _event("signed-out", "")
                    return
                yield _event("overview", await self._overview.text())
                news = await self._news(position)
                if news:
                    position = news[-1].position
                    yield _event("happenings", json.dumps([_described(each) for each in news]), position)
            except StateUnavailableError:
                yield _event("trouble", "Valkey does not answer: what you see is as it was before")
            await self._pause()

    async def _news(self, position: str) -> Sequence[Placed]:
        if not position:
            return await self._happenings.newest(_AT_FIRST)
        return await self._happenings.after(position, _AT_FIRST)

    async def _pause(self) -> None:
        try:
            async with asyncio.timeout(EVERY_SECONDS):
                await self._closing.wait()
        except TimeoutError:
            return


def _event(kind: str, data: str, position: str = "") -> str:
    """One event; `data` is on one line, as JSON is."""
    place = f"id: {position}\n" if position else ""
    return f"event: {kind}\n{place}data: {data}\n\n"


def _described(placed: Placed) -> dict[str, object]:
    return {"id": placed.position, "at": placed.at, **asdict(placed.what)}
