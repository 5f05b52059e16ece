"""What the lab's programs need, the set-up script installs."""

from __future__ import annotations

import os
import stat
import subprocess
from typing import TYPE_CHECKING

import pytest

from appliance.lab.checkout import find_checkout
from appliance.lab.command import PACKAGES

if TYPE_CHECKING:
    from pathlib import Path

NEEDED = {
    "lab": ["systemd-nspawn", "mmdebstrap", "nft", "ip", "ssh", "ffprobe"],
    "vm": ["qemu-system-x86_64", "mmdebstrap", "mke2fs", "debugfs", "ssh"],
}


def wanted(folder: Path, part: str, user: int) -> set[str]:
    """Return what the script would install for a user on a machine that has nothing yet."""
    said = {
        "id": f"echo {user}",
        "dpkg-query": "exit 1",
        "apt-cache": "exit 0",
        "sudo": '"$@"',
        "apt-get": 'for w; do case $w in -*|*::*|install|update) ;; *) echo "wants $w" >&3 ;; esac; done',
    }
    for name, line in said.items():
        (folder / name).write_text(f"#!/bin/sh\n{line}\n")
        (folder / name).chmod(stat.S_IRWXU)
    script = find_checkout() / "files/bootstrap.sh"
    done = subprocess.run(
        ["bash", "-c", '"$0" "$1" 3>&1 >/dev/null', str(script), part],
        env={**os.environ, "PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )
    return {line.removeprefix("wants ") for line in done.stdout.splitlines()}


@pytest.mark.parametrize("part", NEEDED)
@pytest.mark.parametrize("user", [0, 1000])
def test_the_script_installs_what_the_drivers_ask_for(tmp_path: Path, part: str, user: int) -> None:
    packages = wanted(tmp_path, part, user)
    assert {PACKAGES[program] for program in NEEDED[part]} <= packages
    # only there is the image made in a user namespace
    assert (PACKAGES["newuidmap"] in packages) is (part == "vm" and user != 0)
