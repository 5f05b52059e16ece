"""How many windows are open at once, and when one counts no more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.types import Message

from appliance.control.api.problem import ProblemError
from appliance.control.dashboard.live import Live
from appliance.state.operator_sessions import Session

SESSION = cast(Session, SimpleNamespace(operator="ops"))
ALLOWED = 8


class NoSessions:
    """Sessions, all of which have ended."""

    async def find(self, session_id: str, *, used: bool) -> None:
        """Nobody."""


def live() -> Live:
    control: Any = SimpleNamespace(closing=asyncio.Event(), state=None, host="h", settings=None)
    return Live(control, cast(Any, NoSessions()))


def request(method: str = "GET") -> Request:
    return Request({"type": "http", "method": method, "path": "/dashboard/live", "headers": []})


async def answered(response: Any) -> list[Message]:
    """Return what is sent for it, until it ends."""
    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def receive() -> Message:
        await asyncio.Event().wait()
        raise AssertionError

    await response(request().scope, receive, send)
    return sent


async def test_of_many_at_once_so_many_as_are_allowed_are_let_in() -> None:
    at = live()
    got = await asyncio.gather(*(at.stream(request(), SESSION) for _ in range(60)), return_exceptions=True)
    let_in = [one for one in got if not isinstance(one, BaseException)]
    assert len(let_in) == ALLOWED
    assert all(isinstance(one, ProblemError) and one.status == 503 for one in got if one not in let_in)


async def test_one_that_ends_leaves_its_place_even_before_it_began() -> None:
    at = live()
    responses = [await at.stream(request(), SESSION) for _ in range(ALLOWED)]
    assert any(b"signed-out" in message.get("body", b"") for message in await answered(responses[0]))
    await at.stream(request(), SESSION)

    async def gone(_: Message) -> None:
        raise OSError("the client is gone")

    with pytest.raises(Exception, match=r".*"):
        await responses[1](request().scope, cast(Any, asyncio.Event().wait), gone)
    await at.stream(request(), SESSION)
    with pytest.raises(ProblemError):
        await at.stream(request(), SESSION)


async def test_who_asks_for_the_headers_holds_no_place() -> None:
    at = live()
    for _ in range(3 * ALLOWED):
        response = await at.stream(request("HEAD"), SESSION)
        async with asyncio.timeout(5):
            sent = await answered(response)
        assert sent[0]["status"] == 200
        assert b"".join(message.get("body", b"") for message in sent) == b""
    unanswered = [await at.stream(request("HEAD"), SESSION) for _ in range(3 * ALLOWED)]
    assert len(unanswered) == 3 * ALLOWED
    await at.stream(request(), SESSION)
