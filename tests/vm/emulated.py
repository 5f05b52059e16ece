"""An encoder and its stream on an emulated machine, which is about fifteen times slower than this one."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

EMULATED_SECONDS = 180.0
"""What takes 5 s elsewhere may take this long."""


@contextmanager
def publishing(url: str) -> Iterator[None]:
    """Publish as an encoder does: turned away by a host that is still busy starting, it tries again."""
    publisher = [
        "ffmpeg", "-v", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=160x90:rate=10",
        "-f", "lavfi", "-i", "sine=sample_rate=48000", "-c:v", "libx264", "-preset", "ultrafast", "-g", "20",
        "-c:a", "aac", "-f", "flv", url,
    ]  # fmt: skip
    # a process group of its own: the shell and its FFmpeg end together
    again = ["sh", "-c", 'until "$@"; do :; done', "publisher", *publisher]
    with subprocess.Popen(again, stdin=subprocess.DEVNULL, process_group=0) as process:
        try:
            yield
        finally:
            os.killpg(process.pid, signal.SIGKILL)


def wait_for(url: str) -> None:
    """Return once a playlist is there."""
    deadline = time.monotonic() + EMULATED_SECONDS
    with httpx.Client(trust_env=False, timeout=30) as client:
        while client.get(url).status_code != 200:
            assert time.monotonic() < deadline, f"no playlist within {EMULATED_SECONDS:.0f} s"
            time.sleep(0.5)  # a playlist is announced to nobody before it exists
