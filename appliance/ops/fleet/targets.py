"""The hosts of Ansible's inventory, as Ansible itself reads it: files, scripts, vaults, groups, limits."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_CONFIG, OperatorError
from appliance.ops.ansible import InventorySource
from appliance.ops.fleet.ssh_options import Options, Way

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SECONDS: Final = 60.0
_ARGUMENTS: Final = ("ansible_ssh_common_args", "ansible_ssh_extra_args")
_STREAMING: Final = "origins"
"""The group of hosts that playbooks/site.yml makes streaming hosts."""
_OF_HOST: Final = ("port", "user", "ssh_private_key_file")


@dataclass(frozen=True, slots=True)
class Target:
    """One host: its name in the inventory; the way to it, None for this machine; options for its jumps.

    `streaming`: whether the playbooks make it a streaming host; a monitor or a build host apart has no
    `appliance`.
    """

    name: str
    way: Way | None
    options: Options
    streaming: bool = True

    @property
    def root(self) -> bool:
        """Whether who logs in is root already."""
        return self.way.user == "root" if self.way is not None else os.geteuid() == 0


def read_targets(inventory: Path | None, limit: str | None) -> list[Target]:
    """The hosts of `inventory` (None: ansible.cfg's), by name; `limit` as Ansible's --limit has it.

    Raises OperatorError when there is no such inventory, no host in it, or a host that cannot be reached so.
    """
    source = InventorySource(inventory, limit)
    done = source.ask("ansible-inventory", "--list", seconds=_SECONDS)
    if done.returncode:
        raise source.refused(done.stderr, "see: ansible-inventory --graph")
    return parse_inventory(done.stdout, str(source), limit)


def parse_inventory(text: str, what: str, limit: str | None = None) -> list[Target]:
    """The hosts of what `ansible-inventory --list` printed. Raises OperatorError."""
    found: dict[str, Any] = json.loads(text)
    variables: Mapping[str, Mapping[str, Any]] = found.get("_meta", {}).get("hostvars", {})
    names = {host for name, group in found.items() if name != "_meta" for host in group.get("hosts", ())}
    if not names:
        limited = "" if limit is None else f" by --limit {limit}"
        raise OperatorError(
            f"{what} has no host{limited}", exit_code=EX_CONFIG, hint="see: ansible-inventory --graph"
        )
    streaming = _members(found, _STREAMING)
    return [_target(name, variables.get(name, {}), streaming=name in streaming) for name in sorted(names)]


def _members(found: Mapping[str, Any], group: str) -> set[str]:
    """The hosts of a group and of all groups below it; Ansible refuses one that is below itself."""
    content = found.get(group, {})
    below = (_members(found, child) for child in content.get("children", ()))
    return set(content.get("hosts", ())).union(*below)


def _target(name: str, variables: Mapping[str, Any], *, streaming: bool) -> Target:
    if variables.get("ansible_connection") == "local":
        return Target(name, None, Options(), streaming)
    try:
        options = Options.parse(_text(variables, key) for key in _ARGUMENTS if variables.get(key))
        port, user, key = (_text(variables, f"ansible_{name}") for name in _OF_HOST)
        if key:
            options = Options(options.values, (key, *options.identities), options.config)
        way = options.way(
            _text(variables, "ansible_host") or name,
            port=int(port) if port else None,
            user=user or None,
        )
    except (ValueError, OSError) as error:
        raise OperatorError(
            f"host {name}: how it is reached is not understood: {error}",
            exit_code=EX_CONFIG,
            hint=f"see: ansible-inventory --host {name}",
        ) from None
    return Target(name, way, options, streaming)


def _text(variables: Mapping[str, Any], key: str) -> str:
    found = str(variables.get(key) or "")
    if "{{" in found:
        raise ValueError(f"{key} is a template, {found!r}; allowed is a value")
    return found
