"""Programs of Debian 13 for tests on any machine: unpacked into .cache, run with their own loader."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from appliance.lab.apt_sources import machine_mirrors

CACHE = Path(__file__).resolve().parents[2] / ".cache"


def unpacked(name: str, *packages: str) -> Path | None:
    """Return the folder `name` of the cache with `packages` and what they need; None where it cannot be made.

    apt checks each against its signed index. It takes some seconds, once for a checkout.
    """
    root = CACHE / name
    if not root.exists() and shutil.which("mmdebstrap"):
        draft = root.with_name(f".{root.name}.{os.getpid()}")
        draft.parent.mkdir(parents=True, exist_ok=True)
        sources = machine_mirrors().sources("trixie")[:1]
        command = ["mmdebstrap", "--quiet", "--variant=extract", f"--include={','.join(packages)}", "trixie"]
        done = subprocess.run([*command, str(draft), *sources], capture_output=True, check=False)
        if done.returncode == 0:
            draft.rename(root)
        else:
            shutil.rmtree(draft, ignore_errors=True)
    return root if root.exists() else None


def program(root: Path, path: str) -> tuple[str, ...]:
    """Return the command that runs the program at `path` (usr/bin/…) below `root`."""
    libraries = next(root.glob("usr/lib/*-linux-gnu"))
    loader = next(iter([*root.glob("usr/lib64/ld-linux*"), *root.glob("usr/lib/ld-linux*")]))
    return (str(loader), "--library-path", str(libraries), str(root / path))
