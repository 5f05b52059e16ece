"""Run a program and turn its failure into one readable message."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

from appliance.errors import OperatorError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PACKAGES = {
    "mmdebstrap": "mmdebstrap",
    "systemd-nspawn": "systemd-container",
    "nft": "nftables",
    "ip": "iproute2",
    "ffprobe": "ffmpeg",
    "setpriv": "util-linux",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "mke2fs": "e2fsprogs",
    "debugfs": "e2fsprogs",
    "newuidmap": "uidmap",
    "qemu-system-x86_64": "qemu-system-x86",
    "qemu-system-aarch64": "qemu-system-arm",
}
"""Debian package that brings each program the lab runs."""


def require(*programs: str) -> None:
    """Check that programs are installed.

    Raises:
        OperatorError: names what is missing and the command that installs it.
    """
    missing = [program for program in programs if shutil.which(program) is None]
    if missing:
        packages = " ".join(sorted({PACKAGES.get(program, program) for program in missing}))
        raise OperatorError(
            f"not installed: {', '.join(missing)}",
            hint=f"apt-get install --no-install-recommends {packages}",
        )


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> str:
    """Run a program to its end and return its standard output.

    Args:
        argv: program and arguments; no shell is involved.
        stdin: text for its standard input; nothing when None.
        cwd: folder to run in.
        env: whole environment; the caller's when None.

    Raises:
        OperatorError: the program is missing or exits non-zero; carries the end of what it said.
    """
    try:
        done = subprocess.run(
            argv,
            input=stdin if stdin is not None else "",
            cwd=cwd,
            env=env,
            text=True,
            capture_output=True,
            check=False,
        )
    except FileNotFoundError:
        require(argv[0])
        raise
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip() or "it said nothing").splitlines()[-8:]
        raise OperatorError(
            f"`{shlex.join(argv)}` failed with exit code {done.returncode}:\n" + "\n".join(said)
        )
    return done.stdout


def succeeds(argv: Sequence[str]) -> bool:
    """Run a program whose only answer is its exit code; a missing program counts as a failure."""
    try:
        return (
            subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False
