"""What a lab has made, written down before it is made.

A run can be killed between any two system calls. `State` is therefore saved first and acted on
second: whatever exists is a subset of what the file says, so `down` and the next `up` find it.
"""

from __future__ import annotations

import fcntl
import json
import os
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from time import monotonic, sleep
from typing import TYPE_CHECKING, Any

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.lab.processes import Process, identify
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from appliance.lab.checkout import LabPaths

VERSION = 2
"""Layout of the state file; another number is refused, never guessed at."""


@dataclass
class HostState:
    """One host as it was asked for, and the process that runs it once there is one."""

    name: str
    index: int
    """Number of the host in its lab, from 1; its address and machine name derive from it."""
    address: str
    port: int = 22
    ready: bool = False
    """True once it has answered on SSH."""
    process: Process | None = None


@dataclass
class State:
    """One lab."""

    driver: str
    subnet: str = ""
    """IPv4 network in CIDR form; empty where the driver needs none."""
    groups: dict[str, list[str]] = field(default_factory=dict)
    hosts: dict[str, HostState] = field(default_factory=dict)

    def free_index(self) -> int:
        """Return the lowest host number not in use."""
        used = {host.index for host in self.hosts.values()}
        return next(number for number in range(1, 240) if number not in used)


def _file(paths: LabPaths) -> Path:
    return paths.folder / "state.json"


def save(paths: LabPaths, state: State) -> None:
    """Write the state so that a reader sees the earlier or the new one, never a part."""
    target = _file(paths)
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_suffix(".new")
    with draft.open("w") as stream:
        json.dump({"version": VERSION, **asdict(state)}, stream, indent=2)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(target)


def _read(raw: dict[str, Any]) -> State:
    if raw.pop("version") != VERSION:
        raise ValueError("written by another version of this project")
    hosts = {}
    for name, host in raw.pop("hosts").items():
        process = host.pop("process")
        hosts[name] = HostState(**host, process=Process(**process) if process else None)
    return State(**raw, hosts=hosts)


def load(paths: LabPaths) -> State | None:
    """Return the saved state, None when the lab has none.

    Raises:
        OperatorError: the file is damaged or of another version.
    """
    try:
        return _read(json.loads(_file(paths).read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise OperatorError(
            f"{_file(paths)} cannot be used: {error}",
            hint=f"`{program()} lab down` with the version that wrote it, or remove the file after "
            "`systemd-nspawn` and `qemu-system-*` of this checkout have ended",
        ) from error


def holder(file: Path) -> Process | None:
    """Return the process that holds a lock file of `locked`, None when nobody does; takes no lock itself."""
    try:
        pid, started = file.read_text().split()
        process = Process(int(pid), int(started))
    except (FileNotFoundError, ValueError):
        return None
    return process if process.alive else None


def _open_current(file: Path) -> int:
    file.parent.mkdir(parents=True, exist_ok=True)
    # the lock goes with the last copy of the descriptor: it must not be inherited by the hosts' processes
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)


def _is_current(file: Path, handle: int) -> bool:
    """Whether the open file is still the one of that name: the holder before us may have removed it."""
    try:
        return os.path.samestat(os.fstat(handle), file.stat())
    except FileNotFoundError:
        return False


@contextmanager
def locked(
    file: Path, *, what: str, seconds: float = 600.0, keep: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Hold a lock file, waiting for another run to give it back; the kernel frees it when we die.

    Args:
        file: the file to lock; it is made when missing.
        what: what is locked, for the message.
        seconds: how long to wait.
        keep: asked at the end, under the lock, whether the file stays.

    Raises:
        OperatorError: another process kept the lock that long; names it.
    """
    handle = _open_current(file)
    try:
        deadline = monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if monotonic() >= deadline:
                    owner = (os.pread(handle, 40, 0).decode(errors="replace").split() or ["unknown"])[0]
                    patience = f" for more than {seconds:.0f} s" if seconds else ""
                    raise OperatorError(
                        f"{what} is in use by another run (process {owner}){patience}",
                        exit_code=EX_UNAVAILABLE,
                        hint=f"wait for it to end, or look at it with `ps -fp {owner}`",
                    ) from None
                sleep(0.1)  # flock(2) offers no wait with a time limit
                continue
            if _is_current(file, handle):
                break
            stale, handle = handle, _open_current(file)
            os.close(stale)
        me = identify(os.getpid())
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()} {me.started if me else 0}".encode(), 0)
        try:
            yield
        finally:
            if not keep():
                file.unlink(missing_ok=True)
    finally:
        os.close(handle)
