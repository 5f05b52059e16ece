"""A network namespace for what a test starts: its kernel settings are its own, as on a host of the fleet."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import yaml

from tests.support.rendering import ROLES

if TYPE_CHECKING:
    from collections.abc import Iterator

_CLONE_NEWNET: Final = 0x40000000
_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_TUNING: Final = yaml.safe_load((ROLES / "tuning" / "defaults" / "main.yml").read_text())["tuning_sysctl"]
DATAGRAMS_WAITING: Final = "net.unix.max_dgram_qlen"
"""How many lines of delivery may wait; it belongs to the namespace in which their socket is made."""


@contextlib.contextmanager
def own_network(*names: str) -> Iterator[None]:
    """Have this thread, and what it starts, in a namespace of its own, with loopback alone.

    Kernel settings `names` are set there as role tuning sets them. Needs root. See unshare(2) and setns(2).
    """
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    try:
        _checked(_LIBC.unshare(_CLONE_NEWNET))
        try:
            subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
            for name in names:
                Path("/proc/sys", name.replace(".", "/")).write_text(str(_TUNING[name]["value"]))
            yield
        finally:
            _checked(_LIBC.setns(before, _CLONE_NEWNET))
    finally:
        os.close(before)


def _checked(result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
