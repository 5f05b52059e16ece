"""What hosts say, and which hosts have to say something."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

import pytest

from appliance.ops.fleet.connection import UnreachableError
from appliance.ops.fleet.examine import NoStreamingHost, examine_any
from appliance.ops.fleet.session import Done
from appliance.ops.fleet.ssh_options import Options
from appliance.ops.fleet.summary import Summary, read_summary, summarise
from appliance.ops.fleet.targets import Target, parse_inventory

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.ops.fleet.session import Session


class Bare:
    """A host that has no `appliance`."""

    def __init__(self, *, streaming: bool) -> None:
        self.target = Target("h", None, Options(), streaming)

    def run(self, command: Sequence[str], *, seconds: float | None) -> Done:
        """Say so."""
        del seconds
        return Done(1, "", f"sudo: {command[-1]}: command not found")


@pytest.mark.parametrize("text", ["[" * 100_000, '{"units_down": ' + "[" * 900 + "]" * 900 + "}", "[]", "{}"])
def test_what_is_no_summary_is_said(text: str) -> None:
    said = read_summary(Done(0, text, ""))
    assert said.figures is None
    assert said.said.startswith("no summary (exit status 0)")


def test_a_number_of_four_hundred_digits_is_none() -> None:
    said = read_summary(Done(0, '{"load": ' + "9" * 400 + ', "units_down": []}', ""))
    assert said.figures
    assert said.figures.number("load") is None


def test_only_a_streaming_host_needs_an_appliance() -> None:
    apart = cast("Session", Bare(streaming=False))
    assert examine_any(apart, seconds=1) == NoStreamingHost() == summarise(apart, seconds=1)
    origin = cast("Session", Bare(streaming=True))
    with pytest.raises(UnreachableError, match="no `appliance` on it"):
        examine_any(origin, seconds=1)
    assert isinstance(summarise(origin, seconds=1), Summary)


def test_streaming_hosts_are_those_of_origins_and_of_groups_below_it() -> None:
    listed = {
        "_meta": {"hostvars": {}},
        "origins": {"hosts": ["a"], "children": ["west"]},
        "west": {"hosts": ["b"]},
        "monitors": {"hosts": ["a", "m"]},
    }
    found = {target.name: target.streaming for target in parse_inventory(json.dumps(listed), "i")}
    assert found == {"a": True, "b": True, "m": False}
