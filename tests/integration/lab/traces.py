"""What a lab can leave on a machine, asked from the kernel and not from the lab."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from appliance.lab.checkout import LabPaths, find_checkout


def paths(name: str) -> LabPaths:
    """Return the folders and names of a lab of this checkout."""
    return LabPaths(find_checkout(), name)


def traces(name: str) -> dict[str, list[str]]:
    """Return every mount, interface, nftables rule, control group, process and file that names the lab."""
    lab = paths(name)
    marks = (lab.ident, f"{lab.folder}/")
    found: dict[str, list[str]] = {}

    def keep(kind: str, lines: list[str]) -> None:
        named = [line for line in lines if any(mark in line for mark in marks)]
        if named:
            found[kind] = named

    keep("mounts", Path("/proc/self/mountinfo").read_text().splitlines())
    keep("interfaces", [entry.name for entry in Path("/sys/class/net").iterdir()])
    keep("rules", output("nft", "list", "ruleset").splitlines())
    keep("control groups", [str(folder) for folder in Path("/sys/fs/cgroup").glob("*/lab_*")])
    keep("processes", output("ps", "-eo", "pid,args", "-ww").splitlines())
    keep("files", [f"{entry}/" for entry in lab.folder.parent.iterdir() if entry.is_dir()])
    keep("sockets", [str(folder) for folder in lab.control.parent.glob("lab_*")])
    return found


def output(*argv: str) -> str:
    """Return what a program prints."""
    return subprocess.run(argv, capture_output=True, text=True, check=True).stdout


def until(happened: Callable[[], bool], what: str, seconds: float = 60.0) -> None:
    """Return as soon as something has happened."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"{what} did not happen within {seconds} s"
        time.sleep(0.005)  # the kernel announces none of these: ask again
