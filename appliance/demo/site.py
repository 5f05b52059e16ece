"""Run `playbooks/site.yml` on the demo's host and show how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from threading import Timer
from time import monotonic

from appliance.errors import EX_SOFTWARE, OperatorError
from appliance.lab import processes
from appliance.lab.command import require
from appliance.program import program

Say = Callable[[str], None]

TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.*)\] \*+$")
RECAP = re.compile(r"^\S+ +: ok=(?P<ok>\d+) +changed=(?P<changed>\d+) ")
LONG = re.compile(r"minutes?\)$")
"""Ends the name of a task that is known to take long: it is reported as it begins."""

QUIET_SECONDS = 10.0
"""A task that runs for longer is reported although it goes on; one that passed sooner is not."""

TAIL_LINES = 40

MARK = "APPLIANCE_DEMO"
"""Environment variable that tells the demo's own Ansible processes, and those of which checkout."""


class Progress:
    """Says which task goes on, without a word about those that only pass by."""

    def __init__(self, say: Say, step: Say, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._say, self._step, self._quiet = say, step, quiet_seconds
        self._task, self._began, self._said = "", 0.0, False
        self._timer: Timer | None = None

    def begin(self, task: str) -> None:
        """The task before has ended, this one goes on; an empty name is none."""
        if self._timer:
            self._timer.cancel()
            self._timer.join()  # it may be speaking
        if self._said:
            self._say(f"  {self._task}: done after {monotonic() - self._began:.0f} s")
        self._task, self._began, self._said, self._timer = task, monotonic(), False, None
        self._step(task)
        if LONG.search(task):
            self._announce(f"  {task} …")
        elif task:
            self._timer = Timer(self._quiet, self._announce, [f"  {task} … (for {self._quiet:.0f} s by now)"])
            self._timer.daemon = True
            self._timer.start()

    def _announce(self, line: str) -> None:
        self._said = True
        self._say(line)


def end_orphans(checkout: Path) -> None:
    """End the Ansible processes of a killed run of this checkout; call it under the demo's lock only."""
    processes.stop(
        process
        for process in processes.with_variable(f"{MARK}={checkout}")
        if process.name.startswith("ansible")
    )


def apply(checkout: Path, log: Path, say: Say, step: Say) -> int:
    """Run the playbook with the default inventory, which is the demo's host once that is up.

    Args:
        checkout: where `playbooks/` lies.
        log: file for everything Ansible prints.
        say: called with each line that is worth keeping.
        step: called with the name of each task as it begins.

    Returns:
        How many tasks changed something.

    Raises:
        OperatorError: the playbook failed; its last lines are in the message.
    """
    require("setpriv")
    end_orphans(checkout)
    # the playbook ends with us, even when we are killed (PR_SET_PDEATHSIG, prctl(2))
    command = ["setpriv", "--pdeathsig", "TERM",
               str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/site.yml"]  # fmt: skip
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(checkout / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": "0",
        # without skipped tasks a task is named only once it is over
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true",
        "LC_ALL": "C.UTF-8",
        MARK: str(checkout),
    }
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    progress, changed = Progress(say, step), 0
    with (
        log.open("w") as record,
        subprocess.Popen(
            command,
            cwd=checkout,
            env=env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout or ():
            record.write(line)
            record.flush()
            tail.append(line)
            if (found := TASK.match(line)) or RECAP.match(line):
                progress.begin(found["name"] if found else "")
            if recap := RECAP.match(line):
                changed += int(recap["changed"])
    progress.begin("")
    if process.returncode != 0:
        raise OperatorError(
            f"playbooks/site.yml failed (exit code {process.returncode}); its last lines:\n{''.join(tail)}",
            exit_code=EX_SOFTWARE,
            hint=f"all it said: {log}; the host is kept: "
            f"`{program()} lab ssh origin`, then `make demo` again",
        )
    return changed
