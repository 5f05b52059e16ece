"""Every default of a role is commented, and described in its argument specification; and vice versa."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())
# A template's text instead of a value: the specification cannot repeat it as the default.
COMPUTED = re.compile(r"{{")


def defaults(role: str) -> dict[str, Any]:
    path = ROLES / role / "defaults/main.yml"
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


def options(role: str) -> dict[str, Any]:
    document = yaml.safe_load((ROLES / role / "meta/argument_specs.yml").read_text())
    found: dict[str, Any] = document["argument_specs"]["main"].get("options") or {}
    return found


@pytest.mark.parametrize("role", NAMES)
def test_defaults_and_specification_name_the_same_variables(role: str) -> None:
    required = {name for name, option in options(role).items() if option.get("required")}
    assert set(defaults(role)) == set(options(role)) - required


@pytest.mark.parametrize("role", NAMES)
def test_specification_repeats_the_default(role: str) -> None:
    values = defaults(role)
    for name, option in options(role).items():
        if "default" in option and not COMPUTED.search(str(values[name])):
            assert values[name] == option["default"], name


@pytest.mark.parametrize("role", NAMES)
def test_every_variable_is_described_and_belongs_to_the_role(role: str) -> None:
    for name, option in options(role).items():
        assert name.startswith(f"{role}_")
        assert option["description"]
        assert option["type"]


@pytest.mark.parametrize("role", NAMES)
def test_every_default_is_commented(role: str) -> None:
    path = ROLES / role / "defaults/main.yml"
    before = ""
    for line in path.read_text().splitlines() if path.exists() else []:
        if re.match(r"[a-z]", line):
            # one comment may introduce a group of lines without a blank between them
            assert before.startswith("#") or re.match(r"[a-z \-\]}]", before), f"{path}: {line}"
        before = line
