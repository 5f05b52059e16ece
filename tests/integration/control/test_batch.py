"""Questions that travel together: each has its own answer, and its own error."""

from __future__ import annotations

import asyncio
import signal
import time
from typing import TYPE_CHECKING

import pytest

from appliance.state.valkey import State, StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.control.processes import Valkey


@pytest.fixture
async def state(valkey: tuple[Valkey, str]) -> AsyncIterator[State]:
    """A connection to it."""
    server, password = valkey
    made = State(server.socket, password)
    yield made
    await made.close()


async def test_each_gets_its_own(state: State) -> None:
    await state.ask(*(("SET", f"k{number}", number) for number in range(1000)))
    answers = await asyncio.gather(*(state.ask(("GET", f"k{number}")) for number in range(1000)))
    assert answers == [[str(number)] for number in range(1000)]


async def test_an_error_is_nobody_elses(state: State) -> None:
    await state.ask(("SET", "text", "x"))
    answers: list[object] = await asyncio.gather(
        state.ask(("GET", "text")),
        state.ask(("GET", "text"), ("INCR", "text")),
        state.ask(("GET", "text")),
        return_exceptions=True,
    )
    assert (answers[0], answers[2]) == (["x"], ["x"])
    assert isinstance(answers[1], StateUnavailableError)


async def test_who_gives_up_takes_nobody_along(state: State) -> None:
    tasks = [asyncio.create_task(state.ask(("INCR", "n"))) for _ in range(3)]
    await asyncio.sleep(0)
    tasks[1].cancel()
    answers: list[object] = await asyncio.gather(*tasks, return_exceptions=True)
    assert (answers[0], answers[2]) == ([1], [3])
    assert isinstance(answers[1], asyncio.CancelledError)


async def test_a_frozen_one_is_noticed_by_all_in_time(state: State, valkey: tuple[Valkey, str]) -> None:
    await state.ping()
    valkey[0].send(signal.SIGSTOP)
    began = time.monotonic()
    answers = await asyncio.gather(*(state.ask(("GET", "x")) for _ in range(500)), return_exceptions=True)
    assert all(isinstance(answer, StateUnavailableError) for answer in answers)
    assert time.monotonic() - began < 6
    valkey[0].send(signal.SIGCONT)
    assert await state.ask(("GET", "x")) == [None]


async def test_the_end_leaves_nobody_waiting(state: State, valkey: tuple[Valkey, str]) -> None:
    await state.ping()
    valkey[0].send(signal.SIGSTOP)
    waiting = asyncio.create_task(state.ask(("GET", "x")))
    await asyncio.sleep(0.05)
    late = asyncio.create_task(state.ask(("GET", "x")))
    await asyncio.sleep(0.05)
    async with asyncio.timeout(2):
        await state.close()
        for task in (waiting, late):
            with pytest.raises(StateUnavailableError):
                await task
