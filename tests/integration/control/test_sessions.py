"""How often one viewer may watch at once, counted by the real Valkey for all hosts."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING

import pytest

from appliance.control.view.session_limit import SessionLimit
from appliance.control.view.tokens import TokenRefusedError, ViewToken
from appliance.control.view.viewer import Asked, Viewer
from appliance.names import StreamName
from appliance.state.sessions import Sessions
from appliance.state.valkey import State, StateUnavailableError
from tests.integration.control.conftest import eventually
from tests.support.clock import Clock

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.control.processes import Valkey

ADDRESS = "192.0.2.7"


@pytest.fixture
async def state(valkey: tuple[Valkey, str]) -> AsyncIterator[State]:
    """A connection to Valkey."""
    server, password = valkey
    connected = State(server.socket, password)
    yield connected
    await connected.close()


async def test_one_more_than_the_limit_is_refused(state: State) -> None:
    sessions = Sessions(state)
    admitted = [await sessions.admit("anna", name, 2) for name in ("tv", "phone", "laptop", "tv", "phone")]
    assert admitted == [True, True, False, True, True]
    assert await sessions.admit("bert", "laptop", 2)


async def test_many_hosts_at_once_admit_as_many_as_are_allowed(valkey: tuple[Valkey, str]) -> None:
    server, password = valkey
    hosts = [State(server.socket, password) for _ in range(4)]
    asked = [Sessions(hosts[number % 4]).admit("anna", str(number), 7) for number in range(200)]
    assert sum(await asyncio.gather(*asked)) == 7
    for host in hosts:
        await host.close()


async def test_a_session_that_is_not_seen_makes_room(state: State) -> None:
    sessions = Sessions(state, life_seconds=0.3)
    assert await sessions.admit("anna", "tv", 1)
    await eventually(lambda: sessions.admit("anna", "phone", 1))
    assert not await sessions.admit("anna", "tv", 1)


async def test_a_session_that_is_seen_stays(state: State) -> None:
    sessions = Sessions(state, life_seconds=0.5)
    until = time.monotonic() + 1.2
    while time.monotonic() < until:
        assert await sessions.admit("anna", "tv", 1)
        assert not await sessions.admit("anna", "phone", 1)


async def test_the_state_holds_little_and_forgets_it(state: State) -> None:
    sessions = Sessions(state, life_seconds=30)
    for number in range(50):
        await sessions.admit("anna@mail.example", f"session-{number}", 3)
    [key] = await state.client.keys("*")
    assert "anna" not in key
    members = await state.client.zrange(key, 0, -1)
    assert len(members) == 3
    assert not any("session" in member for member in members)
    assert 0 < await state.client.pttl(key) <= 30_000


async def test_a_clock_that_was_set_back_locks_nobody_out(state: State) -> None:
    sessions = Sessions(state, life_seconds=30)
    await sessions.admit("anna", "tv", 1)
    [key] = await state.client.keys("*")
    [(member, seen)] = await state.client.zrange(key, 0, -1, withscores=True)
    await state.client.zadd(key, {member: seen + 3_600_000})
    assert await sessions.admit("anna", "phone", 1)


async def test_a_key_of_another_kind_is_an_error_and_not_ours_to_throw_away(state: State) -> None:
    sessions = Sessions(state)
    await sessions.admit("anna", "tv", 1)
    [key] = await state.client.keys("*")
    await state.client.set(key, "somebody's")
    with pytest.raises(StateUnavailableError, match="WRONGTYPE"):
        await sessions.admit("anna", "tv", 1)
    assert await state.client.get(key) == "somebody's"


def token(number: int = 0, *, viewer: str | None = "anna", session: str | None = None) -> ViewToken:
    return ViewToken(stream="demo", expires=0, viewer=viewer, session=session, text=f"a.{number}")


async def refused(limit: SessionLimit, shown: ViewToken, address: str = ADDRESS, most: int = 1) -> bool:
    try:
        await limit.check(Viewer.of_token(Asked(stream=StreamName("demo"), address=address), shown), most)
    except TokenRefusedError as error:
        assert error.status == 403  # noqa: PT017
        return True
    return False


async def test_whose_sessions_are_counted(state: State) -> None:
    limit = SessionLimit(Sessions(state))
    assert not await refused(limit, token(session="tv"))
    assert not await refused(limit, token(1, session="tv"), "192.0.2.8")  # the same session, by a new token
    assert await refused(limit, token(session="phone"))
    # without a session, a token at another address is another one
    assert not await refused(limit, token(viewer="bert"))
    assert not await refused(limit, token(viewer="bert"))
    assert await refused(limit, token(viewer="bert"), "192.0.2.8")
    assert await refused(limit, token(2, viewer="bert"))
    # without a viewer, the token is counted: it is not passed round
    assert not await refused(limit, token(3, viewer=None))
    assert await refused(limit, token(3, viewer=None), "192.0.2.8")
    assert not await refused(limit, token(4, viewer=None))


async def test_no_limit_asks_nobody(state: State) -> None:
    limit = SessionLimit(Sessions(state))
    assert not any([await refused(limit, token(number), most=0) for number in range(20)])
    assert await state.client.keys("*") == []


async def test_without_valkey_viewers_are_let_in_and_counted_again_later(
    valkey: tuple[Valkey, str], state: State
) -> None:
    clock = Clock()
    limit = SessionLimit(Sessions(state), clock=clock)
    assert not await refused(limit, token(session="tv"))
    await valkey[0].end()
    assert not await refused(limit, token(session="phone"))
    with contextlib.suppress(FileNotFoundError):
        valkey[0].socket.unlink()
    await valkey[0].up()
    assert not await refused(limit, token(session="laptop"))  # it is left alone for a while

    async def counted() -> bool:
        clock.now += 5
        return await refused(limit, token(session="laptop"))

    await eventually(counted)  # it loads what it wrote down
