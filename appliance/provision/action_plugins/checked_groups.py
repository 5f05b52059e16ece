"""Refuse an inventory with an empty, a missing or a misspelt group, before anything is changed.

Options: ``known`` (list of group names the playbooks use), ``required`` (those that need a host). Runs on the
controller, without a connection.
"""

from __future__ import annotations

import difflib
from typing import Any

from ansible.plugins.action import ActionBase

IMPLICIT = {"all", "ungrouped"}


class ActionModule(ActionBase):
    """Ansible's entry point."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report all problems at once, naming the group and what is allowed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        groups: dict[str, list[str]] = (task_vars or {})["groups"]
        known: list[str] = self._task.args["known"]
        problems = []
        for name in known:
            if name in groups and not groups[name]:
                problems.append(f"group {name} has no host; name one, or leave the group out")
            elif name in self._task.args["required"] and name not in groups:
                problems.append(f"group {name} is missing; the playbooks need one host in it at least")
        for name in sorted(set(groups) - set(known) - IMPLICIT):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                problems.append(f"group {name} is unknown; did you mean {near[0]}?")
        result["changed"] = False
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join([*problems, f"groups the playbooks know: {', '.join(known)}"])
        return result
