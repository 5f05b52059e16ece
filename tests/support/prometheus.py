"""Debian's Prometheus and its companions, for tests."""

from __future__ import annotations

import functools
import shutil
import subprocess

from tests.support import debian


@functools.cache
def command(name: str) -> tuple[str, ...]:
    """Return how to run `name`: promtool, prometheus, amtool, prometheus-alertmanager and so on.

    Debian 13's, as a host has it, else the machine's own.
    """
    packages = ("prometheus", "prometheus-node-exporter", "prometheus-alertmanager")
    if (root := debian.unpacked("prometheus-trixie", *packages)) is not None:
        return debian.program(root, f"usr/bin/{name}")
    if found := shutil.which(name):
        return (found,)
    raise AssertionError(f"no {name}: apt-get install mmdebstrap (or {', '.join(packages)})")


def promtool(*arguments: str, given: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run promtool with `given` as its input; what it says on standard error is in its output."""
    return subprocess.run(
        [*command("promtool"), *arguments],
        input=given,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
