"""Real ansible-playbook runs against this machine, in a folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

CHECKOUT = Path(__file__).resolve().parents[3]


@dataclass(frozen=True)
class Run:
    """What one ansible-playbook run did."""

    returncode: int
    tasks: dict[str, dict[str, Any]]
    output: str

    @property
    def failure(self) -> str:
        """The message of the task that failed."""
        return next(str(result["msg"]) for result in self.tasks.values() if result.get("failed"))


@dataclass(frozen=True)
class Site:
    """A folder with a playbook, its templates and its files."""

    folder: Path

    def template(self, name: str, text: str) -> None:
        """Write a template."""
        self._write("templates", name, text)

    def file(self, name: str, text: str) -> None:
        """Write a plain file of the controller."""
        self._write("files", name, text)

    def _write(self, kind: str, name: str, text: str) -> None:
        (self.folder / kind).mkdir(exist_ok=True)
        (self.folder / kind / name).write_text(text)

    def play(self, tasks: list[dict[str, Any]], *arguments: str, **play: Any) -> Run:
        """Run the tasks on this machine and return each task's result by its name.

        Parameters
        ----------
        tasks
            As in a playbook; every task has a name.
        arguments
            More of ``ansible-playbook``'s, such as ``--check``.
        play
            More keys of the play, such as ``vars`` and ``handlers``.
        """
        book = [{"hosts": "localhost", "connection": "local", "gather_facts": False, **play, "tasks": tasks}]
        (self.folder / "play.yml").write_text(yaml.safe_dump(book))
        environment = {
            **os.environ,
            "ANSIBLE_CONFIG": str(CHECKOUT / "ansible.cfg"),
            "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_ROLES_PATH": os.pathsep.join([str(self.folder / "roles"), str(CHECKOUT / "roles")]),
        }
        command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "play.yml"]
        done = subprocess.run(
            [*command, *arguments],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        start = done.stdout.find("{\n")
        report = json.loads(done.stdout[start:]) if start >= 0 else {"plays": []}
        results = {
            task["task"]["name"]: task["hosts"]["localhost"]
            for played in report["plays"]
            for task in played["tasks"]
        }
        return Run(done.returncode, results, done.stdout + done.stderr)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An empty folder to write a playbook in."""
    return Site(tmp_path)
