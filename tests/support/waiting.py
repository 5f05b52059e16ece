"""Waiting for what nothing announces."""

from __future__ import annotations

import time
from collections.abc import Callable

POLL_SECONDS = 0.05


def until(what: str, ready: Callable[[], bool], seconds: float) -> float:
    """Ask again and again until `ready`, for at most `seconds`; return how many it took."""
    began = time.monotonic()
    while not ready():
        assert time.monotonic() - began < seconds, f"{what}: not within {seconds} s"
        time.sleep(POLL_SECONDS)
    return time.monotonic() - began
