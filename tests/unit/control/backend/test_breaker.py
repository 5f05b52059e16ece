"""The breaker's states, by a clock that the test sets."""

from __future__ import annotations

import pytest

from appliance.control.backend.breaker import (
    IN_A_ROW,
    LEAST,
    PAUSE_SECONDS,
    TRIAL_SECONDS,
    WINDOW_SECONDS,
    Breaker,
    State,
)
from tests.support.clock import Clock


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(clock=clock)


def opened(breaker: Breaker) -> Breaker:
    for _ in range(IN_A_ROW):
        assert breaker.permits()
        breaker.failed()
    return breaker


def test_failures_in_a_row_open_it_and_nothing_goes_through(breaker: Breaker, clock: Clock) -> None:
    for _ in range(IN_A_ROW - 1):
        breaker.failed()
    assert breaker.state.value == State.CLOSED.value
    breaker.failed()
    assert breaker.state.value == State.OPEN.value
    clock.now += PAUSE_SECONDS - 0.1
    assert not breaker.permits()


def test_a_success_in_between_begins_the_row_anew(breaker: Breaker, clock: Clock) -> None:
    for _ in range(4):
        breaker.failed()
        clock.now += WINDOW_SECONDS
        breaker.succeeded()
        clock.now += WINDOW_SECONDS
    assert breaker.state.value == State.CLOSED.value


def test_one_trial_after_the_pause_closes_it(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += PAUSE_SECONDS
    assert breaker.state.value == State.HALF_OPEN.value
    assert breaker.permits()
    assert not breaker.permits()
    breaker.succeeded()
    assert breaker.state.value == State.CLOSED.value
    # What failed before counts no more: a single failure does not open it again.
    breaker.failed()
    assert breaker.permits()


def test_a_trial_that_fails_opens_it_for_another_pause(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += PAUSE_SECONDS
    assert breaker.permits()
    breaker.failed()
    assert breaker.state.value == State.OPEN.value
    clock.now += PAUSE_SECONDS - 0.1
    assert not breaker.permits()
    clock.now += 0.1
    assert breaker.permits()


def test_a_trial_without_an_outcome_is_given_up(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += PAUSE_SECONDS
    assert breaker.permits()
    clock.now += TRIAL_SECONDS - 0.1
    assert not breaker.permits()
    clock.now += 0.1
    assert breaker.permits()


def test_every_other_failure_opens_it_too(breaker: Breaker, clock: Clock) -> None:
    for _ in range(LEAST // 2 - 1):
        breaker.succeeded()
        breaker.failed()
        clock.now += 0.1
    assert breaker.state.value == State.CLOSED.value
    breaker.succeeded()
    breaker.failed()
    assert breaker.state.value == State.OPEN.value


def test_what_is_long_ago_counts_no_more(breaker: Breaker, clock: Clock) -> None:
    for _ in range(LEAST):
        breaker.succeeded()
        breaker.failed()
        breaker.succeeded()
        clock.now += WINDOW_SECONDS
    assert breaker.state.value == State.CLOSED.value


def test_late_outcomes_of_before_change_nothing_while_it_is_open(breaker: Breaker, clock: Clock) -> None:
    opened(breaker)
    clock.now += PAUSE_SECONDS / 2
    breaker.failed()
    clock.now += PAUSE_SECONDS / 2
    assert breaker.permits()
