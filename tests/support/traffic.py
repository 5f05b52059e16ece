"""What takes delivery's lines in the place of the control service: its reader, in a process of its own."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import time
from typing import TYPE_CHECKING

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


@contextlib.contextmanager
def traffic_reader(path: Path) -> Iterator[None]:
    """Read the lines that come in at `path` until the block is left."""
    with subprocess.Popen([sys.executable, "-c", _PROGRAM, str(path)]) as reader:
        try:
            while not path.exists():
                assert reader.poll() is None
                time.sleep(0.01)
            yield
        finally:
            reader.kill()
