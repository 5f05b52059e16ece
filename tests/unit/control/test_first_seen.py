"""What is new, and what has only come again."""

from __future__ import annotations

from appliance.control.first_seen import FirstSeen
from tests.support.clock import Clock


def test_what_comes_again_is_not_new_until_it_was_away() -> None:
    clock = Clock()
    first = FirstSeen(seconds=60, capacity=10, clock=clock)
    assert first("a")
    for _ in range(3):
        clock.now += 60
        assert not first("a")
    clock.now += 60.1
    assert first("a")


def test_memory_is_bounded_and_the_oldest_goes() -> None:
    first = FirstSeen(seconds=60, capacity=2, clock=Clock())
    assert [first(what) for what in ("a", "b", "a", "c")] == [True, True, False, True]
    assert not first("a")
    assert first("b")
