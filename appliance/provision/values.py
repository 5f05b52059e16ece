"""What templates will see of a host's variables, worked out before any role runs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from ansible.errors import AnsibleError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

# Variables that are there only later: facts, and the roles' private ones.
LATER = re.compile(r"\bansible_facts\b|\bhostvars\b|\b_[a-z]")


def role_defaults(roles: Path, loader: Any, templar: Any) -> dict[str, Any]:
    """Return the defaults of all roles, which only the later plays of the roles know by themselves.

    Parameters
    ----------
    roles
        The folder of the roles.
    loader, templar
        Ansible's own, as an action plugin has them.
    """
    defaults: dict[str, Any] = {}
    for path in sorted(roles.glob("*/defaults/main.yml")):
        # a role's path stands in some defaults and is another one for each role
        own = templar.copy_with_new_env(available_variables={"role_path": str(path.parent.parent)})
        for name, value in (loader.load_from_file(str(path), trusted_as_template=True) or {}).items():
            uses_place = isinstance(value, str) and "role_path" in value
            defaults[name] = own.template(value) if uses_place else value
    return defaults


def worked_out(
    known: Mapping[str, Any], names: Collection[str], templar: Any
) -> tuple[dict[str, Any], list[str]]:
    """Return what templates will see of each variable in ``names``, and a line for each that has no value.

    ``known`` are all variables, as the inventory and the roles' defaults have them.
    """
    own = templar.copy_with_new_env(available_variables=known)
    values: dict[str, Any] = {}
    problems: list[str] = []
    for name in sorted(set(known) & set(names)):
        try:
            values[name] = own.template(known[name])
        except AnsibleError as error:
            # what is known of the host, and a role's own variables, come later; the role itself will see
            if not LATER.search(str(known[name])):
                problems.append(f"{name} cannot be worked out: {error.message}")
    return values, problems
