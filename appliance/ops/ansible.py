"""Ansible's own programs, asked what an inventory says: on the controller, in the checkout's .venv."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import EX_CONFIG, EX_UNAVAILABLE, OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class InventorySource:
    """What is asked: `file` (None: ansible.cfg's), and `limit` as Ansible's --limit has it."""

    file: Path | None
    limit: str | None

    def __str__(self) -> str:
        return str(self.file or "the inventory of ansible.cfg")

    def ask(
        self, program: str, *arguments: str, seconds: float, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """What `program` of Ansible's says. Raises OperatorError when it is not there, or takes too long."""
        command = [str(Path(sys.executable).with_name(program)), *arguments]
        command += [] if self.file is None else ["--inventory", str(self.file)]
        command += [] if self.limit is None else ["--limit", self.limit]
        try:
            return subprocess.run(
                command,
                env=env,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                check=False,
                timeout=seconds,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise OperatorError(
                f"{self} cannot be read: {error}",
                exit_code=EX_UNAVAILABLE,
                hint="on a controller, in the checkout: any `make` verb installs Ansible into .venv",
            ) from None

    def refused(self, said: str, hint: str) -> OperatorError:
        """The error when Ansible said that it cannot read it; `hint` names the command that tells more."""
        told = " ".join(said.split())[-500:]
        return OperatorError(f"{self} cannot be read: {told}", exit_code=EX_CONFIG, hint=hint)
