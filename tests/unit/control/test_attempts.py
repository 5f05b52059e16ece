"""Who tries too often is told apart from who does not."""

from __future__ import annotations

import pytest

from appliance.control import attempts
from appliance.control.attempts import Attempts
from tests.support.clock import Clock


def test_the_bound_is_for_a_minute() -> None:
    clock = Clock()
    counted = Attempts(3, clock=clock)
    assert [counted.too_many("192.0.2.1") for _ in range(5)] == [False] * 3 + [True] * 2
    assert not counted.too_many("192.0.2.2")
    clock.now += 59
    assert counted.too_many("192.0.2.1")
    clock.now += 1
    assert not counted.too_many("192.0.2.1")


def test_an_ipv6_network_is_one_somebody() -> None:
    counted = Attempts(2)
    answers = [counted.too_many(f"2001:db8:1:2::{number:x}") for number in range(4)]
    assert answers == [False, False, True, True]
    assert not counted.too_many("2001:db8:1:3::1")


@pytest.mark.parametrize("address", ["127.0.0.1", "::1", "unix:", "nonsense"])
def test_this_host_is_not_bounded(address: str) -> None:
    counted = Attempts(1)
    assert not any(counted.too_many(address) for _ in range(10))


def test_no_bound_is_none() -> None:
    counted = Attempts(0)
    assert not any(counted.too_many("192.0.2.1") for _ in range(1000))


def test_many_addresses_cost_a_bounded_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempts, "_REMEMBERED", 10)
    counted = Attempts(1)
    for number in range(1000):
        counted.too_many(f"192.0.{number // 256}.{number % 256}")
    assert len(counted._counted) == 10
