"""Servers on this machine, on ports of their own."""

from __future__ import annotations

import atexit
import contextlib
import functools
import itertools
import shlex
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

_FIRST, _LAST, _BLOCK = 12_000, 32_000, 250
"""Below the ports that the kernel gives to who connects (ip_local_port_range)."""


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that nobody listens on, and no test beside this one will."""
    for port in itertools.islice(_ports(), _BLOCK):
        with contextlib.suppress(OSError), socket.create_server(("127.0.0.1", port)):
            return port
    raise AssertionError("all ports of this process are taken")


@functools.cache
def _ports() -> Iterator[int]:
    """Ports that no other process of tests has, again and again.

    A name in the abstract namespace (unix(7)) says whose they are; it goes with the process.
    """
    for first in range(_FIRST, _LAST, _BLOCK):
        mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            mark.bind(f"\0appliance-tests-{first}")
        except OSError:
            mark.close()
        else:
            atexit.register(mark.close)
            return itertools.cycle(range(first, first + _BLOCK))
    raise AssertionError("too many processes run tests")


@contextlib.contextmanager
def running(command: Sequence[str | Path], port: int) -> Iterator[None]:
    """Run an nginx that listens on `port`."""
    with subprocess.Popen([*command, "-g", "daemon off;"]) as server:
        try:
            while server.poll() is None:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                time.sleep(0.01)
            assert server.poll() is None, f"{shlex.join(map(str, command))} has ended"
            yield
        finally:
            server.terminate()
