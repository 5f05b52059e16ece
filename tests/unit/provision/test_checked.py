"""What preflight refuses: variables and groups, by real playbook runs; the comparison itself, directly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from appliance.provision.action_plugins.checked_groups import group_problems
from appliance.provision.variables import (
    Declared,
    declared_by,
    settings_taken_for_variables,
    unknown_variables,
    value_problems,
)
from appliance.settings import describe

from .conftest import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Site

OPTIONS = {
    "lamp_colour": {"type": "str", "choices": ["red", "green"], "default": "red"},
    "lamp_count": {"type": "int"},
    "lamp_secret": {"type": "str", "no_log": True},
    "lamp_rows": {"type": "list", "elements": "dict", "options": {"row": {"type": "int", "required": True}}},
}


@pytest.fixture
def declared(site: Site) -> Declared:
    """A role `lamp` in the site's own folder."""
    meta = site.folder / "roles/lamp/meta"
    meta.mkdir(parents=True)
    specification = {"argument_specs": {"main": {"options": OPTIONS}}}
    (meta / "argument_specs.yml").write_text(yaml.safe_dump(specification))
    return declared_by(site.folder / "roles")


@pytest.mark.parametrize(
    ("name", "value", "spec", "problem"),
    [
        ("x", 1, {"type": "int"}, None),
        ("x", "1", {"type": "int"}, "x = '1'; allowed: a whole number (with -e: as JSON, -e '{\"x\": 1}')"),
        ("x", True, {"type": "int"}, "x = True; allowed: a whole number"),
        ("x", "yes", {"type": "bool"}, "x = 'yes'; allowed: true or false"),
        ("x", 1.5, {"type": "float"}, None),
        ("x", 420, {"type": "str"}, "x = 420; allowed: text (quote a number)"),
        ("x", "a,b", {"type": "list", "elements": "str"}, "x = 'a,b'; allowed: a list"),
        ("x", ["a", 1], {"type": "list", "elements": "str"}, "x[1] = 1; allowed: text"),
        ("x", "blue", OPTIONS["lamp_colour"], "x = 'blue'; allowed: red, green"),
        ("x", None, {"type": "str"}, None),
        ("x", None, {"type": "str", "default": ""}, "x = None; allowed: text"),
        ("x", 7, {"type": "str", "no_log": True}, "x = (value hidden); allowed: text"),
        ("x", [{"row": 1}], OPTIONS["lamp_rows"], None),
        ("x", [{}], OPTIONS["lamp_rows"], "x[0] lacks row"),
        (
            "x",
            [{"row": 1, "rwo": 2}],
            OPTIONS["lamp_rows"],
            "x[0] has the unknown key rwo; allowed: row; did you mean row?",
        ),
    ],
)
def test_values(name: str, value: Any, spec: dict[str, Any], problem: str | None) -> None:
    problems = value_problems(name, value, spec)
    if problem is None:
        assert problems == []
    else:
        assert problems[0].startswith(problem)


def test_names(declared: Declared) -> None:
    seen = {
        "lamp_color": "red",
        "lamp_secert": "xyzzy",
        "lanp_count": 1,
        "lamp_zzz": 1,
        "lammp_zzz": 1,
        "my_own": 1,
        "lamp_count": 2,
    }
    lines = unknown_variables(seen, declared)
    assert lines == [
        "unknown variable lammp_zzz = 1; role lamp knows lamp_colour, lamp_count, lamp_rows, lamp_secret",
        "unknown variable lamp_color = 'red'; did you mean lamp_colour?",
        "unknown variable lamp_secert = (value hidden); did you mean lamp_secret?",
        "unknown variable lamp_zzz = 1; role lamp knows lamp_colour, lamp_count, lamp_rows, lamp_secret",
        "unknown variable lanp_count = 1; did you mean lamp_count?",
    ]


def test_all_problems_of_a_host_at_once(site: Site, declared: Declared) -> None:
    del declared  # the role is there
    variables = {
        "lamp_colour": "{{ 'bl' ~ 'ue' }}",
        "lamp_cuont": 1,
        "lamp_count": "{{ defined_nowhere }}",
        "lamp_secret": "{{ ansible_facts['known_later'] }}",
    }
    run = site.play([{"name": "Check", "checked_variables": {}}], vars=variables)
    assert run.returncode == 2
    assert run.failure.splitlines() == [
        "localhost: unknown variable lamp_cuont = 1; did you mean lamp_count?",
        "localhost: lamp_count cannot be worked out: 'defined_nowhere' is undefined",
        "localhost: lamp_colour = 'blue'; allowed: red, green",
    ]


def test_groups(site: Site, tmp_path: Path) -> None:
    inventory = tmp_path / "hosts.yml"
    inventory.write_text("all: {children: {origins: {hosts: {}}, edgse: {hosts: {a: null}}}}")
    known = {"origins": {}, "edges": {}, "state": {"required": True}}
    check = {"checked_groups": {"groups": known}}
    run = site.play([{"name": "Check", **check}], "-i", str(inventory))
    assert run.failure.splitlines() == [
        "group origins has no host; name one, or leave the group out",
        "group state is missing; the playbooks need one host in it at least",
        "group edgse is unknown; did you mean edges?",
        "groups the playbooks know: edges, origins, state",
    ]


SITE_GROUPS = yaml.safe_load((CHECKOUT / "playbooks/preflight.yml").read_text())[0]["tasks"][0]


@pytest.mark.parametrize(
    ("groups", "problems"),
    [
        ({"origins": ["a"], "state": ["a"], "build": ["a"]}, []),
        ({"origins": ["a"], "build": ["b"]}, []),
        ({"origins": ["a", "b"], "build": ["a"]}, ["group origins has a, b; allowed: 1 host"]),
        (
            {"origins": ["a"], "state": ["b"], "build": ["a"]},
            ["group state has b; allowed: hosts of origins (a)"],
        ),
        (
            {"origins": ["a"], "build": ["a"], "edges": ["c", "d"], "monitors": ["e"]},
            ["group edges has c, d; no playbook fills it yet: leave it out"],
        ),
    ],
)
def test_what_no_play_fills_is_refused(groups: dict[str, list[str]], problems: list[str]) -> None:
    rules = SITE_GROUPS["checked_groups"]["groups"]
    assert [line for name, rule in rules.items() for line in group_problems(name, rule, groups)] == problems


def test_a_setting_that_is_given_as_a_variable_is_told_where_it_belongs() -> None:
    declared = declared_by(CHECKOUT / "roles")
    given = ["HLS_ENCRYPTION_KEY", "PATH", "allowed_stream_keys", "low_latency", "encoder", "nginx_version"]
    settings = {name for name, *_ in describe()}
    lines = settings_taken_for_variables(given, settings, declared.options)
    assert [line.partition("did you mean ")[2] for line in lines] == [
        "control_hls_encryption_key?",
        "control_allowed_stream_keys?",
        "control_settings, with low_latency in it?",
    ]


def test_the_playbooks_own_variables_are_declared() -> None:
    declared = declared_by(CHECKOUT / "roles")
    assert unknown_variables({"rollout_batch": 1, "default_stream_keys": ""}, declared) == []
    assert unknown_variables({"rolout_batch": 1}, declared) == [
        "unknown variable rolout_batch = 1; did you mean rollout_batch?"
    ]
