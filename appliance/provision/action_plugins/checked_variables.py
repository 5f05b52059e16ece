"""Refuse a host's variables that no role declares or accepts, before anything is changed.

Runs on the controller, without a connection. No options. See :mod:`appliance.provision.variables` for names
and types, :mod:`appliance.provision.limits` for what values must be beside that.

Returns ``ports``: what a host with all roles listens on, each with ``port``, ``variable`` and ``units``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ansible import constants
from ansible.parsing.vault import EncryptedString
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from appliance.provision.limits import limits_of, ports_of, rule_problems, settings_problems
from appliance.provision.values import role_defaults, worked_out
from appliance.provision.variables import (
    declared_by,
    settings_taken_for_variables,
    unknown_variables,
    value_problems,
)
from appliance.settings import describe


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare and report all problems at once, a line each, with the host's name."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        problems: list[str] = []
        ports: list[dict[str, Any]] = []
        secrets = self._vaulted(variables)
        everywhere: dict[str, Any] = {}
        for roles in map(Path, constants.DEFAULT_ROLES_PATH):
            declared = declared_by(roles)
            problems += unknown_variables(variables, declared)
            everywhere |= declared.options
            known = {**role_defaults(roles, self._loader, self._templar), **variables}
            values, found = worked_out(known, declared.options, self._templar)
            problems += found
            declared = declared.hiding(name for name, value in values.items() if _holds_any(value, secrets))
            wrong = {}
            for name in sorted(values.keys() & variables.keys()):
                wrong[name] = value_problems(name, values[name], declared.options[name])
                problems += wrong[name]
            values = {name: value for name, value in values.items() if not wrong.get(name)}
            templar = self._templar.copy_with_new_env(available_variables=known)

            def holds(condition: str, templar: Any = templar) -> bool:
                return bool(templar.evaluate_conditional(trust_as_template(condition)))

            entries = limits_of(roles)
            problems += rule_problems(entries, values, declared, holds)
            listening, found = ports_of(entries, values, declared, holds)
            problems += found
            ports += [asdict(port) for port in listening]
            if isinstance(values.get("control_settings"), Mapping):
                problems += settings_problems("control_settings", values["control_settings"], declared)
        problems += settings_taken_for_variables(variables, {name for name, *_ in describe()}, everywhere)
        result["changed"] = False
        if problems:
            host = variables.get("inventory_hostname", "?")
            result["failed"] = True
            result["msg"] = "\n".join(f"{host}: {problem}" for problem in problems)
        else:
            result["ports"] = ports
        return result

    def _vaulted(self, variables: dict[str, Any]) -> set[str]:
        """Return the plain texts of what ansible-vault has encrypted among the variables, to show none."""
        found: set[str] = set()
        left = [value for name, value in variables.items() if name not in {"hostvars", "vars"}]
        while left:
            value = left.pop()
            if isinstance(value, EncryptedString):
                found.add(str(self._templar.template(value)))
            elif isinstance(value, Mapping):
                left += value.values()
            elif isinstance(value, list | tuple):
                left += value
        return found - {""}


def _holds_any(value: Any, texts: set[str]) -> bool:
    if not texts:
        return False
    if isinstance(value, Mapping):
        return any(_holds_any(item, texts) for item in value.values())
    if isinstance(value, list | tuple):
        return any(_holds_any(item, texts) for item in value)
    return any(text in str(value) for text in texts)
