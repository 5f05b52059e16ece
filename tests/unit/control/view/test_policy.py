"""Policies that are remembered: what is read again when, and what holds while Valkey is silent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.control.view.policy import FRESH_SECONDS, KEPT_SECONDS, RegistryPolicy
from appliance.names import StreamName
from appliance.settings import Settings
from appliance.state.registry import RegisteredStream
from appliance.state.valkey import StateUnavailableError
from tests.support.clock import Clock

if TYPE_CHECKING:
    from ..conftest import Registered

DEMO, OTHER = StreamName("demo"), StreamName("other")
AWAY = StateUnavailableError("Valkey: away")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def policy_of(registered: Registered, clock: Clock) -> RegistryPolicy:
    registered.streams[DEMO] = RegisteredStream(name=DEMO, created_at="", view="backend")
    return RegistryPolicy(cast("Any", registered), Settings(), clock=clock)


async def test_what_is_watched_is_read_in_one_question(
    policy_of: RegistryPolicy, registered: Registered, clock: Clock
) -> None:
    assert [(await policy_of(name)).name for name in (DEMO, OTHER, DEMO)] == ["backend", "open", "backend"]
    registered.asked.clear()
    registered.streams[DEMO] = RegisteredStream(name=DEMO, created_at="", view="token")
    for _ in range(10):
        clock.now += 1
        await policy_of.refresh()
        assert (await policy_of(DEMO)).name == "token"
        assert (await policy_of(OTHER)).name == "open"
    assert [sorted(names) for names in registered.asked] == [[DEMO, OTHER]] * 10
    clock.now += 60
    await policy_of.refresh()
    assert registered.asked[-1] == []


async def test_without_valkey_what_is_known_holds_for_an_hour(
    policy_of: RegistryPolicy, registered: Registered, clock: Clock
) -> None:
    await policy_of(DEMO)
    registered.trouble = AWAY
    clock.now += FRESH_SECONDS + 1
    assert (await policy_of(DEMO)).name == "backend"
    assert (await policy_of(OTHER)).name == "unknown"
    with pytest.raises(StateUnavailableError):
        await policy_of.refresh()
    asked = len(registered.asked)
    assert (await policy_of(OTHER)).name == "unknown"
    assert len(registered.asked) == asked  # nobody waits for a Valkey that was silent a moment ago
    clock.now += KEPT_SECONDS
    assert (await policy_of(DEMO)).name == "unknown"
    registered.trouble = None
    await policy_of.refresh()
    assert [(await policy_of(name)).name for name in (DEMO, OTHER)] == ["backend", "open"]


async def test_what_cannot_be_read_is_said_anew_each_time(
    policy_of: RegistryPolicy, registered: Registered
) -> None:
    """An exception that is kept and raised again keeps the frames of everybody it was raised for."""
    registered.streams[DEMO] = StateUnavailableError("Valkey: demo is no record of this program")
    raised = []
    for _ in range(3):
        with pytest.raises(StateUnavailableError, match="demo is no record") as error:
            await policy_of(DEMO)
        raised.append((error.value, len(error.traceback)))
    assert len({id(error) for error, _ in raised}) == 3
    assert len({frames for _, frames in raised}) == 1


async def test_names_that_a_stranger_makes_up_do_not_fill_the_memory(
    policy_of: RegistryPolicy, registered: Registered
) -> None:
    for number in range(3000):
        await policy_of(StreamName(f"n{number}"))
        await policy_of(DEMO)
    await policy_of.refresh()
    assert len(registered.asked[-1]) == 2000
    assert DEMO in registered.asked[-1]
