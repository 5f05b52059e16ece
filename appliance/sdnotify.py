"""The service's side of systemd's protocols: sockets it hands over, and what it wants to hear.

sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3).
"""

from __future__ import annotations

import os
import socket
from typing import Final

_FIRST_FD: Final = 3


def handed_over() -> dict[socket.SocketKind, socket.socket]:
    """The sockets systemd handed to this process, by their kind.

    Raises ValueError when there are two of one kind: we would not know which is for what.
    """
    if os.environ.pop("LISTEN_PID", "") != str(os.getpid()):
        return {}
    count = int(os.environ.pop("LISTEN_FDS", "0"))
    os.environ.pop("LISTEN_FDNAMES", None)
    found: dict[socket.SocketKind, socket.socket] = {}
    for descriptor in range(_FIRST_FD, _FIRST_FD + count):
        os.set_inheritable(descriptor, False)
        item = socket.socket(fileno=descriptor)
        kind = socket.SocketKind(item.type)
        if kind in found:
            raise ValueError(f"systemd handed over {count} sockets; allowed is one of each kind")
        found[kind] = item
    return found


def notify(state: str) -> None:
    """Sends `state` (such as `READY=1`) to the service manager; does nothing when there is none."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    if address.startswith("@"):
        address = "\0" + address[1:]
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as channel:
        channel.connect(address)
        channel.sendall(state.encode())


def watchdog_seconds() -> float | None:
    """How often systemd must hear `WATCHDOG=1` at least, None when it does not watch us."""
    pid = os.environ.get("WATCHDOG_PID")
    microseconds = os.environ.get("WATCHDOG_USEC")
    if microseconds is None or (pid is not None and pid != str(os.getpid())):
        return None
    return int(microseconds) / 1_000_000
