"""The Ansible inventory of a lab."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import yaml

from appliance.errors import OperatorError
from appliance.lab import guest, ssh

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.lab.checkout import LabPaths
    from appliance.lab.state import State

GROUPS = ("origins", "edges", "balancers", "state", "monitors", "build")
"""The groups that the playbooks know."""


def default_groups(hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the groups when none are asked for: the first host is the origin, keeps the state and builds.

    The others are in no group, bare hosts for whatever they were asked for: one origin makes a site, and the
    playbooks refuse a second one as well as hosts that no play fills.
    """
    first = list(hosts)[:1]
    return {"origins": first, "state": first, "build": first}


def check_groups(groups: Mapping[str, Sequence[str]], hosts: Iterable[str]) -> dict[str, list[str]]:
    """Return the groups as lists.

    Raises:
        OperatorError: an unknown group, or a host that is not in the lab.
    """
    known = set(hosts)
    for group, members in groups.items():
        if group not in GROUPS:
            raise OperatorError(f"group {group!r} is unknown; the playbooks know: {', '.join(GROUPS)}")
        strangers = [name for name in members if name not in known]
        if strangers:
            raise OperatorError(
                f"group {group!r} names {', '.join(strangers)}; hosts of the lab: {', '.join(known)}"
            )
    return {group: list(members) for group, members in groups.items()}


def render(paths: LabPaths, state: State) -> dict[str, Any]:
    """Return the inventory as the data Ansible's yaml plugin reads.

    Everything stands with the host, nothing with `all`: inventories of several labs can be given together.
    """
    hosts: dict[str, dict[str, Any]] = {}
    for name, host in sorted(state.hosts.items()):
        hosts[name] = {
            "ansible_host": host.address,
            "ansible_port": host.port,
            "ansible_user": "root",
            "ansible_python_interpreter": "/usr/bin/python3",
            "ansible_ssh_private_key_file": ssh.tokens(paths.key),  # Ansible makes an IdentityFile of it
            "ansible_ssh_common_args": shlex.join(ssh.ansible_options(paths)),
        }
        # this machine, where whoever tries the hosts out sits, is an address of their network
        here = state.subnet or str(guest.USER_SUBNET[2])
        hosts[name]["delivery_operator_networks"] = ["127.0.0.0/8", "::1", here]
    # in the order in which they were asked for, which their numbers keep
    groups = state.groups or default_groups(sorted(state.hosts, key=lambda name: state.hosts[name].index))
    return {
        "all": {
            "hosts": hosts,
            "children": {
                group: {"hosts": dict.fromkeys(members)} for group, members in sorted(groups.items())
            },
        }
    }


def write(paths: LabPaths, state: State) -> None:
    """Write the inventory file of the lab."""
    text = yaml.safe_dump(render(paths, state), sort_keys=False, default_flow_style=False, width=1000)
    draft = paths.inventory.with_suffix(".new")
    draft.write_text("# written by `appliance lab up`; it goes with `appliance lab down`\n" + text)
    draft.replace(paths.inventory)
