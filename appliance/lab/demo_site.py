"""Run `playbooks/site.yml` on the demo's host and show how far it is."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import deque
from collections.abc import Callable
from pathlib import Path
from time import monotonic

from appliance.errors import EX_SOFTWARE, OperatorError

Say = Callable[[str], None]

TASK = re.compile(r"^(?:TASK|RUNNING HANDLER) \[(?P<name>.*)\] \*+$")
RECAP = re.compile(r"^\S+ +: ok=(?P<ok>\d+) +changed=(?P<changed>\d+) ")
SLOW_SECONDS = 5.0
"""A task that takes longer is reported with its time; the others only pass by."""

TAIL_LINES = 40


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
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "playbooks/site.yml"]
    env = {
        **os.environ,
        "ANSIBLE_CONFIG": str(checkout / "ansible.cfg"),
        "ANSIBLE_FORCE_COLOR": "0",
        # without skipped tasks a task is named only once it is over
        "ANSIBLE_DISPLAY_SKIPPED_HOSTS": "true",
        "LC_ALL": "C.UTF-8",
    }
    tail: deque[str] = deque(maxlen=TAIL_LINES)
    task, began, changed = "", monotonic(), 0
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
                if task and monotonic() - began >= SLOW_SECONDS:
                    say(f"  {task}: {monotonic() - began:.0f} s")
                task, began = (found["name"] if found else ""), monotonic()
                step(task)
            if recap := RECAP.match(line):
                changed += int(recap["changed"])
    if process.returncode != 0:
        raise OperatorError(
            f"playbooks/site.yml failed (exit code {process.returncode}); its last lines:\n{''.join(tail)}",
            exit_code=EX_SOFTWARE,
            hint=f"all it said: {log}; the host is kept: `appliance lab ssh origin`, then `make demo` again",
        )
    return changed
