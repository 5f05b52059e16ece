"""Delivery's lines: as nginx writes them, and what takes them in the place of the control service."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

from tests.support.own_network import DATAGRAMS_WAITING, own_network

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_PROGRAM = """
import asyncio, socket, sys
from appliance.control.traffic import Traffic, TrafficReader
lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
lines.bind(sys.argv[1])
loop = asyncio.new_event_loop()
TrafficReader(Traffic(target_seconds=2), lines).start(loop)
loop.run_forever()
"""


def traffic_line(**values: Any) -> bytes:
    """Return a line as nginx writes it (log_format `traffic` of the role delivery)."""
    names = ("stream", "kind", "status", "size", "seconds", "session", "address", "player")
    fields = json.dumps([str(values.get(name, "")) for name in names], ensure_ascii=False)
    return b"<190>Jan  1 00:00:00 t: " + fields.encode("utf-8", "surrogateescape")


@contextlib.contextmanager
def traffic_reader(path: Path) -> Iterator[None]:
    """Have the reader of the control service, in a process of its own, read what comes in at `path`."""
    with own_network(DATAGRAMS_WAITING):  # in which it makes the socket
        started = subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)])
    with started as reader:
        try:
            while not path.exists():
                assert reader.poll() is None
                time.sleep(0.01)
            yield
        finally:
            reader.kill()
