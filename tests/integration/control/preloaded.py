"""Control services without their second of imports: each is forked from one process that has them loaded.

A test starts a service of its own, most of all a second of one core, and there are two hundred of them. What
runs is the command's own main with the arguments, the environment and the directory that it would have.

``python -m tests.integration.control.preloaded`` is that process; `fork` starts it when it is first needed.
It ends with its input, and ends what it has forked then.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import functools
import gc
import importlib
import json
import os
import random
import selectors
import signal
import socket
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

from appliance.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import NoReturn

_CHECKOUT = Path(__file__).resolve().parents[3]
_LONGEST = 1 << 16


class Forked:
    """A forked command, to be handled as a process of asyncio's is."""

    def __init__(self, pid: int, answers: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._writer = writer
        self._end = asyncio.create_task(self._watch(answers))

    async def _watch(self, answers: asyncio.StreamReader) -> int:
        self.returncode = int(await answers.readline() or -signal.SIGKILL)  # no answer: all have been killed
        self._writer.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Sends a signal. Raises ProcessLookupError when it has ended."""
        if self.returncode is not None:
            raise ProcessLookupError(self.pid)
        os.kill(self.pid, number)

    async def wait(self) -> int:
        """Waits for its end: its exit status, negative for a signal."""
        return await asyncio.shield(self._end)


async def fork(arguments: Sequence[str], directory: Path, environment: Mapping[str, str], log: int) -> Forked:
    """Runs `appliance` with `arguments`; `log` is the file descriptor that it writes to."""
    ours, theirs = socket.socketpair()
    with theirs:
        socket.send_fds(server(), [b"."], [theirs.fileno()])
    order = [list(arguments), str(directory), dict(environment)]
    socket.send_fds(ours, [json.dumps(order).encode()], [log])
    reader, writer = await asyncio.open_connection(sock=ours)
    return Forked(int(await reader.readline()), reader, writer)


@functools.cache
def server() -> socket.socket:
    """The way to the process, started here, in the network and with the rights that its caller has."""
    ours, theirs = socket.socketpair()
    with theirs:
        process = subprocess.Popen([sys.executable, "-m", __name__], stdin=theirs.fileno(), cwd=_CHECKOUT)

    def end() -> None:
        ours.close()
        process.wait()

    atexit.register(end)
    return ours


class _Server:
    """What happens in the process: a connection is one child."""

    def __init__(self) -> None:
        self._input = socket.socket(fileno=os.dup(0))
        self._selector = selectors.DefaultSelector()
        self._children: dict[int, socket.socket] = {}
        self._woken, waker = socket.socketpair()
        self._waker = waker
        for end in (self._woken, waker):
            end.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(waker.fileno())
        self._selector.register(self._input, selectors.EVENT_READ)
        self._selector.register(self._woken, selectors.EVENT_READ)

    def run(self) -> None:
        """Until the input ends."""
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._woken:
                    self._woken.recv(_LONGEST)
                    self._reap()
                elif not self._take():
                    for pid in self._children:
                        os.kill(pid, signal.SIGKILL)
                    return

    def _take(self) -> bool:
        """A connection has come; False at the end of the input."""
        message, passed, *_ = socket.recv_fds(self._input, 1, 1)
        if not message:
            return False
        connection = socket.socket(fileno=passed[0])
        order, [log], *_ = socket.recv_fds(connection, _LONGEST, 1)
        pid = os.fork()
        if pid == 0:
            connection.close()
            self._become(log, *json.loads(order))
        os.close(log)
        self._children[pid] = connection
        connection.sendall(f"{pid}\n".encode())
        return True

    def _become(
        self, log: int, arguments: list[str], directory: str, environment: dict[str, str]
    ) -> NoReturn:
        """Is the command, in a child."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        self._selector.close()
        for end in (self._input, self._woken, self._waker, *self._children.values()):
            end.close()
        null = os.open(os.devnull, os.O_RDONLY)
        for ours, theirs in ((null, 0), (log, 1), (log, 2)):
            os.dup2(ours, theirs)
        os.close(null)
        os.close(log)
        os.chdir(directory)
        os.environ.clear()
        os.environ.update(environment)
        random.seed()
        os._exit(_status_of(arguments))

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0]:
                connection = self._children.pop(ended[0])
                with connection, contextlib.suppress(OSError):
                    connection.sendall(f"{os.waitstatus_to_exitcode(ended[1])}\n".encode())


def _status_of(arguments: list[str]) -> int:
    try:
        main(arguments)
    except SystemExit as error:
        status: Any = error.code
    except BaseException:  # noqa: BLE001 - as the interpreter does at its end
        traceback.print_exc()
        status = 1
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    for module in ("appliance.control.server", "appliance.cli.control"):
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    _Server().run()
