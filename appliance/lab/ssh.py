"""The lab's SSH key, its hosts' keys, and waiting for a host to answer.

Host keys are made here, before the host boots: it is known from the first connection on, and
nothing ever has to be accepted unseen.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from time import monotonic, sleep
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab import processes
from appliance.lab.command import run

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from appliance.lab.checkout import LabPaths
    from appliance.lab.state import HostState


def ensure_key(file: Path, comment: str) -> str:
    """Make an Ed25519 key pair unless there is one; return the public half."""
    public = file.with_name(file.name + ".pub")
    if not public.exists():
        file.unlink(missing_ok=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", comment, "-f", str(file)])
    return public.read_text().strip()


def tokens(path: Path) -> str:
    """Return a path with its `%` doubled: ssh puts other texts in the place of `%h` and the like."""
    return str(path).replace("%", "%%")


def _value(path: Path, behind: str = "") -> str:
    """Return a path, and tokens of ssh behind it, as one word of an ssh option, which ends at a blank."""
    text = tokens(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{text}{behind}"'


def options(paths: LabPaths) -> list[str]:
    """Return the ssh options that reach any host of the lab, whatever the user's own configuration says."""
    return [
        "-F", "none",
        "-o", f"IdentityFile={_value(paths.key)}",  # -i looks for the file before it reads `%%` as `%`
        "-o", "IdentitiesOnly=yes",
        "-o", f"UserKnownHostsFile={_value(paths.known_hosts)}",
        "-o", "GlobalKnownHostsFile=/dev/null",
        "-o", "StrictHostKeyChecking=yes",
        "-o", "BatchMode=yes",
        "-o", "ConnectTimeout=10",
        "-o", "LogLevel=ERROR",
    ]  # fmt: skip


def prefix(paths: LabPaths, host: HostState) -> list[str]:
    """Return the command that runs on the host what is appended to it."""
    port = [] if host.port == 22 else ["-p", str(host.port)]
    return ["ssh", *options(paths), *port, f"root@{host.address}"]


def ansible_options(paths: LabPaths) -> list[str]:
    """Return the options for Ansible: its shared connections get a place where `close` finds them."""
    return [*options(paths), "-o", f"ControlPath={_value(paths.control, '/%C')}"]


def open_folder(paths: LabPaths) -> None:
    """Make the folder for the sockets of shared connections.

    Raises:
        OperatorError: somebody else's folder is in its place.
    """
    paths.control.mkdir(mode=0o700, exist_ok=True)
    seen = paths.control.stat(follow_symlinks=False)
    if seen.st_uid != os.geteuid() or seen.st_mode & 0o077:
        raise OperatorError(
            f"{paths.control} belongs to somebody else", hint=f"remove it: rm -r {paths.control}"
        )


def close(paths: LabPaths) -> None:
    """End the shared connections: one to a removed host would be taken for the next host at its address."""
    processes.stop(processes.mentioning(f"{paths.control}/", "ssh"), seconds=2.0)
    if paths.control.is_dir():
        shutil.rmtree(paths.control)


def write_known_hosts(paths: LabPaths, hosts: Mapping[str, HostState]) -> None:
    """Write the file of host keys from the keys made for the hosts."""
    lines = []
    for name, host in sorted(hosts.items()):
        public = (paths.host(name) / "ssh_host_ed25519_key.pub").read_text().split()
        place = host.address if host.port == 22 else f"[{host.address}]:{host.port}"
        lines.append(f"{place} {public[0]} {public[1]}\n")
    draft = paths.known_hosts.with_suffix(".new")
    draft.write_text("".join(lines))
    draft.replace(paths.known_hosts)


def wait_until_answering(paths: LabPaths, host: HostState, seconds: float) -> None:
    """Return once a command runs on the host over SSH.

    Args:
        paths: the lab.
        host: the host; waiting ends when its process does.
        seconds: how long to try.

    Raises:
        OperatorError: the host ended or did not answer in time; names its console log.
    """
    console = paths.host(host.name) / "console.log"
    deadline = monotonic() + seconds
    said = "no connection was accepted"
    while monotonic() < deadline:
        if host.process is None or not host.process.alive:
            raise OperatorError(f"host {host.name} ended while it was starting; see {console}")
        try:
            # the port is asked first: ssh would spend its whole ConnectTimeout on an address not yet up
            with socket.create_connection((host.address, host.port), timeout=1.0) as probe:
                probe.settimeout(5.0)
                banner = probe.recv(4)
        except OSError as error:
            said = str(error)
            sleep(0.05)  # nothing announces that an address begins to answer: retry the connect
            continue
        if banner != b"SSH-":
            sleep(0.05)
            continue
        done = subprocess.run(
            [*prefix(paths, host), "true"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == 0:
            return
        # sshd listens before pam_nologin lets anybody in
        said = done.stderr.strip() or f"ssh exited with {done.returncode}"
        sleep(0.2)
    raise OperatorError(
        f"host {host.name} ({host.address} port {host.port}) did not answer on SSH within {seconds:.0f} s: "
        f"{said}",
        hint=f"see {console}",
    )
