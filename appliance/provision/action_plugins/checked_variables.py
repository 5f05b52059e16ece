"""Refuse a host's variables that no role declares or that have the wrong type, before anything is changed.

Runs on the controller, without a connection. No options. See :mod:`appliance.provision.variables`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.action import ActionBase

from appliance.provision.variables import declared_by, unknown_variables, value_problems


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Compare and report all problems at once, a line each, with the host's name."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        problems = []
        for roles in constants.DEFAULT_ROLES_PATH:
            declared = declared_by(Path(roles))
            problems += unknown_variables(variables, declared)
            for name in sorted(set(variables) & set(declared.options)):
                try:
                    value = self._templar.template(variables[name])
                except AnsibleError:
                    # It refers to a role's default, not there before the role, which will check it itself.
                    continue
                problems += value_problems(name, value, declared.options[name])
        result["changed"] = False
        if problems:
            host = variables.get("inventory_hostname", "?")
            result["failed"] = True
            result["msg"] = "\n".join(f"{host}: {problem}" for problem in problems)
        return result
