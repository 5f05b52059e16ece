"""What the inventory says, asked of Ansible itself: `playbooks/checklist.yml`, run on the controller."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import appliance
from appliance.errors import EX_CONFIG, EX_UNAVAILABLE, OperatorError
from appliance.health.finding import Finding

if TYPE_CHECKING:
    from collections.abc import Sequence

_SECONDS: Final = 120.0
_PRINTED: Final = {"ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json"}
_CHECKOUT: Final = Path(appliance.__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True)
class Inventory:
    """Findings of the site, and by host; and, by host, the checks whose findings are meant so."""

    site: tuple[Finding, ...]
    hosts: dict[str, tuple[Finding, ...]]
    accepted: dict[str, frozenset[str]]


def ask_inventory(inventory: Path | None, limit: str | None, extra: Sequence[str] = ()) -> Inventory:
    """What is found in `inventory` (None: ansible.cfg's).

    Parameters
    ----------
    limit, extra
        As Ansible's --limit and --extra-vars have them.

    Raises OperatorError when Ansible cannot read it.
    """
    command = [str(Path(sys.executable).with_name("ansible-playbook"))]
    command += [str(_CHECKOUT / "playbooks/checklist.yml")]
    command += [] if inventory is None else ["--inventory", str(inventory)]
    command += [] if limit is None else ["--limit", limit]
    # A run that ends because of what was found would not say it all.
    command += [word for text in (*extra, "preflight_refuses=nothing") for word in ("--extra-vars", text)]
    what = str(inventory or "the inventory of ansible.cfg")
    try:
        done = subprocess.run(
            command,
            env={"ANSIBLE_CONFIG": str(_CHECKOUT / "ansible.cfg"), **os.environ, **_PRINTED},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise OperatorError(
            f"{what} cannot be read: {error}",
            exit_code=EX_UNAVAILABLE,
            hint="on a controller, in the checkout: any `make` verb installs Ansible into .venv",
        ) from None
    try:
        return parse_inventory(done.stdout)
    except (ValueError, KeyError, TypeError, AttributeError):
        said = " ".join((done.stderr or done.stdout).split())[-500:]
        raise OperatorError(
            f"{what} cannot be read: {said}",
            exit_code=EX_CONFIG,
            hint="see: ansible-playbook playbooks/preflight.yml, which says what is refused",
        ) from None


def parse_inventory(printed: str) -> Inventory:
    """What the callback ansible.posix.json printed of the playbook.

    Raises ValueError, KeyError, TypeError or AttributeError when a host has no answer.
    """
    report: dict[str, Any] = json.loads(printed[printed.index("{\n") :])
    results = {
        host: result
        for play in report["plays"]
        for task in play["tasks"]
        for host, result in task["hosts"].items()
    }
    if not results:
        raise ValueError("no host")
    return Inventory(
        site=tuple(Finding.read(one) for result in results.values() for one in result["site"]),
        hosts={host: tuple(map(Finding.read, result["host"])) for host, result in results.items()},
        accepted={host: frozenset(map(str, result["accepted"])) for host, result in results.items()},
    )
