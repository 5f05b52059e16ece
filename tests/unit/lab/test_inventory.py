"""The groups of a lab's hosts when nobody asks for any: what the playbooks take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from appliance.lab.checkout import LabPaths, find_checkout
from appliance.lab.inventory import default_groups, render
from appliance.lab.state import HostState, State
from appliance.provision.action_plugins.checked_groups import group_problems

if TYPE_CHECKING:
    from pathlib import Path

PREFLIGHT = yaml.safe_load((find_checkout() / "playbooks/preflight.yml").read_text())
RULES = PREFLIGHT[0]["tasks"][0]["checked_groups"]["groups"]


def groups_of(paths: LabPaths, state: State) -> dict[str, list[str]]:
    children = render(paths, state)["all"]["children"]
    return {name: list(group["hosts"]) for name, group in children.items()}


def test_the_first_host_asked_for_is_the_origin_and_the_others_are_bare(tmp_path: Path) -> None:
    hosts = {name: HostState(name, number, "") for number, name in enumerate(("origin", "edge", "b"), 1)}
    groups = groups_of(LabPaths(tmp_path, "demo"), State(driver="nspawn", hosts=hosts))
    assert groups == {"origins": ["origin"], "state": ["origin"], "build": ["origin"]}


def test_the_playbooks_take_a_lab_of_any_size() -> None:
    for number in (1, 2, 5):
        groups = default_groups(f"host{place}" for place in range(number))
        assert [line for name, rule in RULES.items() for line in group_problems(name, rule, groups)] == []


def test_groups_that_were_asked_for_stay(tmp_path: Path) -> None:
    asked = {"origins": ["b"], "build": ["a"]}
    state = State(driver="nspawn", groups=asked, hosts={name: HostState(name, 1, "") for name in "ab"})
    assert groups_of(LabPaths(tmp_path, "demo"), state) == {"origins": ["b"], "build": ["a"]}
