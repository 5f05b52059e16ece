"""What dpkg has installed; our modules import it from ``ansible.module_utils``, where Ansible puts it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule


def installed_versions(module: AnsibleModule, packages: list[str]) -> dict[str, str]:
    """Return the versions of those of the packages that are installed and configured."""
    if not packages:
        return {}
    form = "--showformat=${db:Status-Status} ${Package} ${Version}\\n"
    _, out, _ = module.run_command(["dpkg-query", "--show", form, *packages])
    rows = [line.split() for line in out.splitlines()]
    return {row[1]: row[2] for row in rows if row[0] == "installed"}
