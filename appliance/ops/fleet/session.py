"""Commands on one host, over SSH or on this machine itself."""

from __future__ import annotations

import contextlib
import os
import selectors
import shlex
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

import paramiko

from appliance.ops.fleet.connection import Connection, UnreachableError
from appliance.printable import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.ops.fleet.targets import Target

_LARGEST: Final = 32 << 20
"""Bytes that one command may print: a host that never stops must not fill the controller's memory."""

_BLOCK: Final = 64 * 1024
_POLL_S: Final = 0.2
_GRACE_S: Final = 3.0
"""How much longer than the command's limit we wait for the host to say that it ended."""

_REST_S: Final = 1.0
"""For how long nothing may come of a command that has ended until we leave: sshd tells the exit status before
what is still in the pipe, and a process that the command left behind may hold that open for ever."""

CUT_OFF: Final = 124
"""Exit status of a command that took too long (timeout(1))."""


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended: its exit status, what it printed, and its errors."""

    status: int
    text: str
    errors: str


class Session(Protocol):
    """One host that commands run on."""

    target: Target

    def run(
        self, command: Sequence[str], *, seconds: float | None, line: Callable[[str], None] | None = None
    ) -> Done:
        """Runs `command` for at most `seconds` (None: as long as it likes); its arguments arrive as they are.

        `line` is called with each line of its output as it comes, which is not kept then. Raises
        UnreachableError when the connection breaks.
        """


def as_root(target: Target, command: Sequence[str]) -> list[str]:
    """`command` with the privileges of root there, without asking for a password."""
    return list(command) if target.root else ["sudo", "--non-interactive", *command]


class RemoteSession:
    """A host over SSH."""

    def __init__(self, target: Target, connection: Connection) -> None:
        self.target = target
        self._connection = connection

    def run(
        self, command: Sequence[str], *, seconds: float | None, line: Callable[[str], None] | None = None
    ) -> Done:
        """See Session."""
        # The host ends it as well: closing a channel ends no command.
        words = list(command) if seconds is None else ["timeout", "--kill-after=2", f"{seconds:g}", *command]
        transport = self._connection.client.get_transport()
        if transport is None or not transport.is_active():
            raise UnreachableError("the connection is gone", "try again")
        try:
            channel = transport.open_session(timeout=10)
            channel.settimeout(_POLL_S)
            channel.exec_command(shlex.join(words))
            channel.shutdown_write()
            out, errors = _Lines(line), _Lines(line)
            deadline = None if seconds is None else time.monotonic() + seconds + _GRACE_S
            came = time.monotonic()
            while True:
                # Asked before what came is taken: behind the end, or a closing, nothing comes.
                over, ended = channel.eof_received or channel.closed, channel.exit_status_ready()
                got = _take(channel.recv_ready, channel.recv, out)
                got |= _take(channel.recv_stderr_ready, channel.recv_stderr, errors)
                came = time.monotonic() if got or not ended else came
                if not got and ended and (over or time.monotonic() - came > _REST_S):
                    break
                if not got:
                    if not ended and not transport.is_active():
                        raise UnreachableError("the connection broke off", "try again")
                    if deadline is not None and time.monotonic() > deadline:
                        channel.close()
                        return Done(CUT_OFF, out.end(), errors.end())
                    time.sleep(0.02)
            status = channel.recv_exit_status()
            channel.close()
            if status < 0:
                raise UnreachableError("the connection broke off, or a signal ended the command", "try again")
        except (paramiko.SSHException, OSError, EOFError) as error:
            raise UnreachableError(f"the connection broke off: {error}", "try again") from None
        return Done(status, out.end(), errors.end())


def _take(ready: Callable[[], bool], receive: Callable[[int], bytes], into: _Lines) -> bool:
    if not ready():
        return False
    into.add(receive(_BLOCK))
    return True


class LocalSession:
    """This machine (`ansible_connection: local`)."""

    def __init__(self, target: Target) -> None:
        self.target = target

    def run(
        self, command: Sequence[str], *, seconds: float | None, line: Callable[[str], None] | None = None
    ) -> Done:
        """See Session."""
        words = list(command) if seconds is None else ["timeout", "--kill-after=2", f"{seconds:g}", *command]
        try:
            with subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT if line is not None else subprocess.PIPE,
                # A group of its own, to be killed as one; what has no limit ends by Ctrl-C, as we do.
                start_new_session=seconds is not None,
            ) as process:
                deadline = None if seconds is None else time.monotonic() + seconds + _GRACE_S
                return _followed(process, _Lines(line), _Lines(line), deadline)
        except OSError as error:
            return Done(127, "", f"{words[0]}: {error.strerror}")


def _followed(
    process: subprocess.Popen[bytes], out: _Lines, errors: _Lines, deadline: float | None
) -> Done:
    """How `process` ended, which leads a group when there is a `deadline` (monotonic seconds).

    What it left behind may hold its pipes: so they are read until nothing comes, and not until they end.
    """
    with selectors.DefaultSelector() as ready:
        for pipe, into in ((process.stdout, out), (process.stderr, errors)):
            if pipe is not None:
                ready.register(pipe, selectors.EVENT_READ, into)
        came = time.monotonic()
        while ready.get_map():
            ended = process.poll() is not None
            events = ready.select(_POLL_S)
            for key, _ in events:
                if data := os.read(key.fd, _BLOCK):
                    key.data.add(data)
                else:
                    ready.unregister(key.fileobj)
            now = time.monotonic()
            came = now if events or not ended else came
            if ended and now - came > _REST_S:
                break
            if deadline is not None and now > deadline:
                return _killed(process, out, errors)
    try:
        process.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
    except subprocess.TimeoutExpired:
        return _killed(process, out, errors)
    # timeout(1) kills its whole group, itself with it.
    killed = deadline is not None and process.returncode == -signal.SIGKILL
    return Done(CUT_OFF if killed else process.returncode, out.end(), errors.end())


def _killed(process: subprocess.Popen[bytes], out: _Lines, errors: _Lines) -> Done:
    # Of what belongs to root only root ends anything; timeout(1), which we wait for, is ours.
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    return Done(CUT_OFF, out.end(), errors.end())


class _Lines:
    """Output as it comes: kept up to a bound, or given on line by line."""

    def __init__(self, line: Callable[[str], None] | None) -> None:
        self._line = line
        self._data = bytearray()

    def add(self, data: bytes) -> None:
        """More of it."""
        self._data += data
        if self._line is None:
            del self._data[_LARGEST:]
            return
        *whole, rest = self._data.split(b"\n")
        for each in whole:
            self._line(_readable(each))
        # A line without an end is given on in pieces.
        self._data = bytearray(rest)
        if len(rest) > _BLOCK:
            self._line(_readable(rest))
            self._data.clear()

    def end(self) -> str:
        """What was kept; the rest of a line is given on."""
        if self._line is None:
            return _readable(self._data)
        if self._data:
            self._line(_readable(self._data))
        return ""


def _readable(data: bytes | bytearray) -> str:
    """What a host printed, without what a terminal would obey."""
    return visible(data.decode("utf-8", "replace"), keep="\n\t")
