"""Which subnet a lab gets, and whose firewall needs an exception."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import Any

import pytest

from appliance.errors import OperatorError
from appliance.lab.network import POOL, choose_subnet, foreign_forward_chains


def test_the_same_lab_gets_the_same_subnet() -> None:
    assert choose_subnet("0a1b2c3d", []) == choose_subnet("0a1b2c3d", [])
    assert choose_subnet("0a1b2c3d", []).subnet_of(POOL)


def test_a_subnet_with_a_route_is_passed_over() -> None:
    first = choose_subnet("0a1b2c3d", [])
    second = choose_subnet("0a1b2c3d", [first])
    assert not second.overlaps(first)
    wide = IPv4Network((int(first.network_address) & 0xFFFF0000, 16))
    assert not choose_subnet("0a1b2c3d", [wide]).overlaps(wide)


def test_a_pool_that_is_routed_elsewhere_is_said_so() -> None:
    with pytest.raises(OperatorError, match=str(POOL)):
        choose_subnet("0a1b2c3d", [IPv4Network("10.0.0.0/8")])


def chain(table: str, name: str, **more: Any) -> dict[str, Any]:
    return {"chain": {"family": "ip", "table": table, "name": name, **more}}


def rule(table: str, name: str) -> dict[str, Any]:
    return {"rule": {"family": "ip", "table": table, "chain": name, "handle": 1}}


def test_docker_is_given_the_rule_where_it_documents_it() -> None:
    listed = [
        chain("filter", "FORWARD", hook="forward", policy="drop"),
        chain("filter", "DOCKER-USER"),
        rule("filter", "FORWARD"),
    ]
    assert foreign_forward_chains(listed) == [("ip", "filter", "DOCKER-USER")]


def test_a_dropping_or_filled_chain_needs_an_exception_and_an_empty_accepting_one_does_not() -> None:
    listed = [
        chain("a", "FORWARD", hook="forward", policy="drop"),
        chain("b", "FORWARD", hook="forward", policy="accept"),
        rule("b", "FORWARD"),
        chain("c", "FORWARD", hook="forward", policy="accept"),
        chain("d", "INPUT", hook="input", policy="drop"),
        chain("lab_0a1b2c3d", "forward", hook="forward", policy="drop"),
    ]
    assert foreign_forward_chains(listed) == [("ip", "a", "FORWARD"), ("ip", "b", "FORWARD")]
