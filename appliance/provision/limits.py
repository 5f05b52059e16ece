"""What values must be beside their types: ``roles/*/meta/limits.yml``, looked at before the first change.

Each file is a list. An entry is either a rule, a condition in Ansible's own language::

    - {of: [origin_stream_watchdog_seconds], that: origin_stream_watchdog_seconds >= 2, allowed: 2 or more}

or a TCP port that the host will listen on, of which no two may be the same::

    - {port: delivery_https_port, units: [appliance-delivery.service], when: delivery_tls}

``that`` and ``when`` see every role's defaults, below what the inventory says. The value of a ``port`` is a
number, or an address that ends in ``:NUMBER``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from appliance.errors import OperatorError
from appliance.names import shorten
from appliance.provision.variables import Declared, shown
from appliance.setting_rules import LAST_PORT
from appliance.settings import Settings

Truth = Callable[[str], bool]
"""Evaluates a condition in Ansible's language."""


@dataclass(frozen=True)
class Port:
    """A TCP port that the host will listen on, the variable that says so and the units that may hold it."""

    port: int
    variable: str
    units: tuple[str, ...]


def limits_of(roles: Path) -> list[Mapping[str, Any]]:
    """Return the entries of every role below the folder ``roles``.

    Raises
    ------
    OSError, yaml.YAMLError
        A file cannot be read.
    """
    entries: list[Mapping[str, Any]] = []
    for path in sorted(roles.glob("*/meta/limits.yml")):
        entries += yaml.safe_load(path.read_text())
    return entries


def rule_problems(
    entries: Iterable[Mapping[str, Any]], values: Mapping[str, Any], declared: Declared, holds: Truth
) -> list[str]:
    """Return a line for each rule that does not hold: variables, values, what is allowed.

    A rule about a variable that ``values`` lacks (because something else is wrong with it) is left out.
    """
    problems = []
    for entry in entries:
        of = entry.get("of")
        if of is None or not all(name in values for name in of) or holds(entry["that"]):
            continue
        seen = ", ".join(f"{name} = {_value(name, values[name], declared)}" for name in of)
        problems.append(f"{seen}; allowed: {entry['allowed']}")
    return problems


def ports_of(
    entries: Iterable[Mapping[str, Any]], values: Mapping[str, Any], declared: Declared, holds: Truth
) -> tuple[list[Port], list[str]]:
    """Return the ports that the host will listen on, and a line for each that is none or is taken twice."""
    ports: list[Port] = []
    problems = []
    for entry in entries:
        variable, condition = entry.get("port", ""), entry.get("when", "true")
        if not {variable, *_named(condition, declared)} <= values.keys() or not holds(condition):
            continue
        value = values[variable]
        number = re.fullmatch(r"(?:.*:)?([0-9]{1,5})", str(value))
        if number is None or not 1 <= int(number[1]) <= LAST_PORT:
            seen = _value(variable, value, declared)
            problems.append(f"{variable} = {seen}; allowed: a port from 1 to {LAST_PORT}")
            continue
        port = Port(int(number[1]), variable, tuple(entry["units"]))
        problems += [
            f"{other.variable} and {variable} are both port {port.port}; give one of them another port"
            for other in ports
            if other.port == port.port
        ]
        ports.append(port)
    return ports, problems


def settings_problems(variable: str, values: Mapping[str, Any], declared: Declared) -> list[str]:
    """Return what the appliance's programs would say of the settings ``values`` of a variable."""
    try:
        Settings.from_mapping(values, source=variable)
    except OperatorError as error:
        # the other hint is about the file on the host
        hint = error.hint if error.hint and "check-config" not in error.hint else None
        said = f"{error.message}; {hint}" if hint else error.message
        if declared.options.get(variable, {}).get("no_log"):
            for value in values.values():
                said = said.replace(shorten(str(value)), "(value hidden)")
        return [said]
    return []


def _named(condition: str, declared: Declared) -> set[str]:
    """Return the declared variables that a condition is about; of a wrong type, it cannot be asked."""
    return set(re.findall(r"\w+", condition)) & declared.options.keys()


def _value(name: str, value: Any, declared: Declared) -> str:
    if declared.options.get(name, {}).get("no_log"):
        return f"(value hidden, {len(str(value))} characters)"
    return shown(value)
