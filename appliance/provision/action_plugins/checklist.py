"""Go through the checklist: what the inventory says of a host that is to be opened to the public.

Runs on the controller, without a connection. Option: ``quiet``, for a run in which nobody reads what is
found: then nothing is looked for unless findings are to end the run (``preflight_refuses``).

Returns ``site``, of the first host alone, and ``host``: findings that have ``what``, ``seen``, ``why``,
``mend``, ``check`` and ``severity``, without those of checks in ``preflight_accepted``, which come back as
``accepted``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase

from appliance.health.finding import Finding, Severity, worst
from appliance.ops.preflight.planned import Planned, inventory_files
from appliance.ops.preflight.table import OF_HOSTS, OF_SITE, answers
from appliance.provision.values import role_defaults, worked_out
from appliance.provision.variables import declared_by

# Ansible's own variables that questions are about; the names of its passwords begin like them.
REACHED_BY = "ansible_"


class ActionModule(ActionBase):
    """Ansible's entry point; one instance for each host."""

    TRANSFERS_FILES = False
    _requires_connection = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Ask, and refuse the run when a finding is as bad as ``preflight_refuses`` says."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        variables = task_vars or {}
        quiet = bool(self._task.args.get("quiet", False))
        refuses = str(self._templar.template(variables.get("preflight_refuses", "nothing")))
        refused = Severity.__members__.get(refuses.upper())
        result["changed"] = False
        if quiet and refused is None:
            return result
        planned = self._planned(variables)
        accepted = planned.items("preflight_accepted")
        first = variables["ansible_play_hosts_all"][0] == planned.name
        site = answers(OF_SITE, planned) if first else []
        host = answers(OF_HOSTS, planned)
        kept = [finding for finding in (*site, *host) if finding.check not in accepted]
        result["site"] = [finding.described() for finding in site if finding in kept]
        result["host"] = [finding.described() for finding in host if finding in kept]
        result["accepted"] = accepted
        if refused is not None and worst(kept) >= refused:
            result["failed"] = True
            result["msg"] = "\n".join(f"{planned.name}: {_line(finding)}" for finding in kept)
        if not quiet and not result.get("failed"):
            self._show(planned.name, kept)
        return result

    def _show(self, name: str, findings: list[Finding]) -> None:
        """Print a host's findings as people read them: the result itself is for programs."""
        count = len(findings)
        lines = [f"{name}: {count or 'no'} finding{'' if count == 1 else 's'}"]
        for one in findings:
            lines.append(f"  {one.severity.name} {one.what}")
            lines += (f"    {what}: {text}" for what, text in (("seen", one.seen), ("means", one.why)))
            lines.append(f"    mend: {one.mend}")
        self._display.display("\n".join(lines))

    def _planned(self, variables: dict[str, Any]) -> Planned:
        """Return the host as the inventory has it."""
        declared: dict[str, Any] = {}
        defaults: dict[str, Any] = {}
        for roles in map(Path, constants.DEFAULT_ROLES_PATH):
            declared |= declared_by(roles).options
            defaults |= role_defaults(roles, self._loader, self._templar)
        known = {**defaults, **variables}
        names = {*declared, *(name for name in variables if name.startswith(REACHED_BY))}
        values, _ = worked_out(known, names, self._templar)
        return Planned(
            name=str(variables["inventory_hostname"]),
            groups=variables["groups"],
            values=values,
            secrets=frozenset(name for name, option in declared.items() if option.get("no_log")),
            files=inventory_files(variables.get("ansible_inventory_sources") or ()),
        )


def _line(finding: Finding) -> str:
    return f"{finding.severity.name} {finding.what}: {finding.seen}; {finding.why}; mend: {finding.mend}"
