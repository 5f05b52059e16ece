"""Refuse an inventory that the playbooks cannot fill, before anything is changed.

Option: ``groups``, a dictionary of the groups the playbooks know, each with ``required`` (it needs a host),
``at_most`` (hosts it may have; 0 when no playbook fills it yet) and ``within`` (a group that has to hold all
of its hosts). Runs on the controller, without a connection.
"""

from __future__ import annotations

import difflib
from typing import Any

from ansible.plugins.action import ActionBase

IMPLICIT = {"all", "ungrouped"}


def group_problems(name: str, rule: dict[str, Any], groups: dict[str, list[str]]) -> list[str]:
    """Return a line for each way in which the group departs from its rule: group, hosts, what is allowed."""
    if name not in groups:
        missing = f"group {name} is missing; the playbooks need one host in it at least"
        return [missing] if rule.get("required") else []
    hosts = groups[name]
    if not hosts:
        return [f"group {name} has no host; name one, or leave the group out"]
    problems = []
    most = rule.get("at_most")
    if most == 0:
        problems.append(f"group {name} has {', '.join(hosts)}; no playbook fills it yet: leave it out")
    elif most is not None and len(hosts) > most:
        problems.append(f"group {name} has {', '.join(hosts)}; allowed: {most} host")
    around = groups.get(rule.get("within", name), [])
    strangers = [host for host in hosts if host not in around]
    if strangers:
        allowed = f"hosts of {rule['within']} ({', '.join(around) or 'none'})"
        problems.append(f"group {name} has {', '.join(strangers)}; allowed: {allowed}")
    return problems


class ActionModule(ActionBase):
    """Ansible's entry point."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Report all problems at once, naming the group and what is allowed."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        groups: dict[str, list[str]] = (task_vars or {})["groups"]
        known: dict[str, dict[str, Any]] = self._task.args["groups"]
        problems = [line for name, rule in known.items() for line in group_problems(name, rule, groups)]
        for name in sorted(set(groups) - set(known) - IMPLICIT):
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.8)
            if near:
                problems.append(f"group {name} is unknown; did you mean {near[0]}?")
        result["changed"] = False
        if problems:
            result["failed"] = True
            result["msg"] = "\n".join([*problems, f"groups the playbooks know: {', '.join(known)}"])
        return result
