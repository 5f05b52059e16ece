"""Find, recognise and stop the processes of a lab.

A process is known by its id and its start time: the kernel reuses ids. A run that was killed
before it could write the id down is found by an argument that only its process carries.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from appliance.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Process:
    """A process id that cannot be mistaken for a later one."""

    pid: int
    started: int
    """Clock ticks between boot and the start of the process (field 22 of proc_pid_stat(5))."""

    @property
    def name(self) -> str:
        """The command name (at most 15 characters, proc_pid_comm(5)); empty once it has ended."""
        try:
            return Path(f"/proc/{self.pid}/comm").read_text().strip()
        except OSError:
            return ""

    @property
    def alive(self) -> bool:
        """Whether this very process still runs (a zombie does not)."""
        return identify(self.pid) == self


def _inherited() -> list[int]:
    """What we were given beside the standard ones: a lock of whoever called us is not to outlive us."""
    found = []
    for name in os.listdir("/proc/self/fd"):  # noqa: PTH208 - numbers
        with suppress(OSError):  # one of them was that of this listing
            if int(name) > 2 and os.get_inheritable(int(name)):
                found.append(int(name))
    return found


def spawn(argv: Sequence[str], log: Path, env: Mapping[str, str]) -> Process:
    """Start a program that outlives us, in a session of its own, and return its process.

    Args:
        argv: program, found on PATH, and arguments.
        log: file that its output is appended to.
        env: its whole environment.

    Raises:
        OperatorError: the program is missing or ended at once.
    """
    program = shutil.which(argv[0])
    if program is None:
        raise OperatorError(f"not installed: {argv[0]}")
    append = os.O_WRONLY | os.O_CREAT | os.O_APPEND
    pid = os.posix_spawn(
        program,
        list(argv),
        env,
        setsid=True,
        setsigdef=[signal.SIGPIPE, signal.SIGXFSZ],  # Python ignores them, the program must not
        file_actions=[
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_OPEN, 1, str(log), append, 0o600),
            (os.POSIX_SPAWN_DUP2, 1, 2),
            *((os.POSIX_SPAWN_CLOSE, descriptor) for descriptor in _inherited()),
        ],
    )
    process = identify(pid)
    if process is None:
        raise OperatorError(f"{argv[0]} could not be started; see {log}")
    return process


def identify(pid: int) -> Process | None:
    """Return the process with this id, None when there is none or only its zombie."""
    try:
        # the command name, in parentheses, may hold blanks and parentheses: split after the last one
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else Process(pid, int(fields[19]))


def with_argument(argument: str) -> list[Process]:
    """Return the processes that have `argument` as one whole argument of their command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            arguments = (entry / "cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if argument.encode() in arguments and (process := identify(int(entry.name))):
            found.append(process)
    return found


def mentioning(text: str, name: str) -> list[Process]:
    """Return the processes called `name` whose command line holds `text` anywhere."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if text.encode() in (entry / "cmdline").read_bytes() and (
                    process := identify(int(entry.name))
                ):
                    found.append(process)
    return [process for process in found if process.name == name]


def with_variable(assignment: str) -> list[Process]:
    """Return the processes that were started with `NAME=value` in their environment."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with suppress(OSError):
                if assignment.encode() in (entry / "environ").read_bytes().split(b"\0") and (
                    process := identify(int(entry.name))
                ):
                    found.append(process)
    return found


def in_cgroup(folder: Path) -> list[Process]:
    """Return the processes of a control group and all groups below it."""
    found = []
    for group, _, _ in os.walk(folder):  # which passes over groups that end meanwhile
        with suppress(OSError):
            pids = Path(group, "cgroup.procs").read_text().split()
            found += [process for pid in pids if (process := identify(int(pid)))]
    return found


def send(processes: Iterable[Process], number: int) -> None:
    """Send a signal to those that still run."""
    for process in processes:
        if process.alive:
            with suppress(ProcessLookupError):
                os.kill(process.pid, number)


def wait(processes: Iterable[Process], seconds: float) -> bool:
    """Wait until all have ended; False when `seconds` passed first."""
    deadline = monotonic() + seconds
    with ExitStack() as stack:
        for process in processes:
            try:
                handle = os.pidfd_open(process.pid)
            except ProcessLookupError:
                continue
            stack.callback(os.close, handle)
            if process.alive:
                poll = select.poll()
                poll.register(handle, select.POLLIN)
                if not poll.poll(max(0.0, deadline - monotonic()) * 1000) and process.alive:
                    return False
    return True


def stop(processes: Iterable[Process], *, ask: int = signal.SIGTERM, seconds: float = 10.0) -> None:
    """Ask processes to end, then kill those that have not after `seconds`."""
    listed = list(processes)
    send(listed, ask)
    if not wait(listed, seconds):
        send(listed, signal.SIGKILL)
        wait(listed, 5.0)
