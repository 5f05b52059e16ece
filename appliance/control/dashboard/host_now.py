"""This host itself, as far as its control service may look: its sandbox shows no /proc."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any, Final

from appliance import __version__

_CPU: Final = Path("/sys/fs/cgroup/cpu.stat")
"""Of the root, so of all that runs on the host (the kernel's Documentation/admin-guide/cgroup-v2.rst)."""


class HostNow:
    """Looks at the host; `media_root` is where the media live."""

    def __init__(self, media_root: Path) -> None:
        self._media_root = media_root
        self._since = time.time()
        self._before: tuple[float, float] | None = None

    def look(self) -> dict[str, Any]:
        """Version, since when the service runs, share of the CPU time since the last look, room for media."""
        return {
            "version": __version__,
            "since": self._since,
            "cpu": self._cpu(),
            "media": self._media(),
        }

    def _cpu(self) -> float | None:
        """From 0 to 1 of all cores; None where the kernel does not say."""
        try:
            fields = dict(line.split() for line in _CPU.read_text().splitlines())
            used = int(fields["usage_usec"]) / 1_000_000
        except (OSError, ValueError, KeyError):
            return None
        now, before = time.monotonic(), self._before
        self._before = now, used
        if before is None or now <= before[0]:
            return None
        share = (used - before[1]) / (now - before[0]) / (os.cpu_count() or 1)
        return round(min(1.0, max(0.0, share)), 3)

    def _media(self) -> dict[str, int] | None:
        """Bytes that the file system of the media has, and that are taken."""
        try:
            found = os.statvfs(self._media_root)
        except OSError:
            return None
        return {
            "size": found.f_blocks * found.f_frsize,
            "used": (found.f_blocks - found.f_bfree) * found.f_frsize,
        }
