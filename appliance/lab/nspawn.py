"""Driver `nspawn`: a booted systemd container for each host.

The host's file system is an overlay on the unpacked base image. systemd-nspawn runs below a small
shell in a session of its own, which starts it again when the guest reboots (exit status 133, see
systemd-nspawn(1)), so the host outlives the command that started it.

Where systemd is the machine's PID 1, nspawn asks it for a scope (delegated control group). Where
it is not, each host gets a control group made here: without one, all hosts started from the same
group would share one `payload` group, and one guest's systemd would kill the other's services.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab import guest, image, processes
from appliance.lab.command import require, run, succeeds
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.lab.checkout import LabPaths
    from appliance.lab.processes import Process
    from appliance.lab.state import HostState

POWEROFF_SECONDS = 15.0
"""How long a guest may take to stop its services; everything it holds is thrown away afterwards anyway."""

WATCHER = r"""
cd /
stop=
trap 'stop=1; kill "$child" 2>/dev/null' TERM
groups=$1; shift
while :; do
    ( for group in $groups; do echo 0 >"$group/cgroup.procs"; done; trap - TERM; exec "$@" ) &
    child=$!
    while wait "$child"; code=$?; kill -0 "$child" 2>/dev/null; do :; done
    [ "$code" = 133 ] && [ -z "$stop" ] || exit "$code"
done
"""
"""Starts the container in its control groups, again after each reboot; hands a SIGTERM on as a poweroff."""

CGROUPS = Path("/sys/fs/cgroup")


def namespaces() -> bool:
    """Whether this machine lets us make the namespaces of a container."""
    return succeeds(["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork", "true"])


def check() -> None:
    """Check that this machine can run containers for us.

    Raises:
        OperatorError: names what is missing and the driver that works without it.
    """
    other = f"{program()} lab up --driver vm: QEMU needs neither root nor namespaces"
    if os.geteuid() != 0:
        raise OperatorError("driver nspawn needs root: it mounts, and makes network interfaces", hint=other)
    require("systemd-nspawn", "ip", "nft", "ssh", "ssh-keygen")
    if not namespaces():
        raise OperatorError(
            "driver nspawn needs namespaces, and this machine refuses to make them "
            "(`unshare --mount --pid --net --ipc --uts --cgroup --fork true` fails)",
            hint=other,
        )
    if not succeeds(["ip", "link", "show"]) or not succeeds(["nft", "list", "tables"]):
        raise OperatorError(
            "driver nspawn needs to change interfaces and nftables, which is refused here", hint=other
        )


def _cgroups(paths: LabPaths) -> list[Path]:
    """Return the lab's control group in each hierarchy systemd looks at; none where systemd gives a scope."""
    if Path("/run/systemd/system").is_dir():
        return []
    # unified only, or hybrid (systemd's own hierarchies; the controllers' hierarchies stay as they are)
    candidates = (
        [CGROUPS] if (CGROUPS / "cgroup.procs").exists() else [CGROUPS / "unified", CGROUPS / "systemd"]
    )
    return [folder / paths.table for folder in candidates if (folder / "cgroup.procs").exists()]


def root_of(paths: LabPaths, name: str) -> Path:
    """Return where the host's file system is mounted."""
    return paths.host(name) / "root"


def _mount(paths: LabPaths, name: str, base: Path) -> None:
    """Mount the host's overlay; copy the image where overlays do not stack (a checkout in a container)."""
    folder = paths.host(name)
    root = root_of(paths, name)
    if root.is_mount():
        return
    if (root / "etc").is_dir():
        return  # a copy
    for part in ("root", "upper", "work"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    # The guest's `/` has the mode of `upper` (or of `root`, for a copy): whatever the caller's umask is, the
    # guest's services that are not root must be able to enter it. The lab's own folder guards both outside.
    for part in ("root", "upper"):
        (folder / part).chmod(0o755)
    # relative paths: mount(8)'s option list gives ',' and ':' in a path a meaning
    lower = os.path.relpath(base, folder)
    overlay = [
        "mount",
        "-t",
        "overlay",
        "-o",
        f"lowerdir={lower},upperdir=upper,workdir=work",
        paths.table,
        "root",
    ]
    if subprocess.run(overlay, cwd=folder, capture_output=True, check=False).returncode != 0:
        run(["cp", "--archive", "--reflink=auto", f"{base}/.", str(root)])


def bridged() -> bool:
    """Every container sits on the lab's bridge."""
    return True


def answer_seconds() -> float:
    """A container answers within 6 s on a free machine; this is for a busy one."""
    return 90.0


def prepare(paths: LabPaths, say: image.Say) -> Path:
    """Return the unpacked base image."""
    return image.ensure_root(paths.images, image.recipe(), say)


def address(index: int, subnet: str) -> tuple[str, int]:
    """Return address and SSH port of a host; the first ten addresses stay with the machine."""
    return str(IPv4Network(subnet)[10 + index]), 22


def start(
    paths: LabPaths, host: HostState, hosts: Mapping[str, HostState], subnet: str, base: Path
) -> Process:
    """Start a host (its network must be up) and return its watching process.

    Raises:
        OperatorError: the file system could not be mounted or the process not be started.
    """
    _mount(paths, host.name, base)
    root = root_of(paths, host.name)
    network = IPv4Network(subnet)
    inside = guest.network_file("Name=host0", host.address, network, str(network[1]))
    guest.write(root, guest.files(paths, host, hosts, inside, guest.resolver()))
    groups = [group / host.name for group in _cgroups(paths)]
    for group in groups:
        group.mkdir(parents=True, exist_ok=True)
    nspawn = [
        "systemd-nspawn", "--quiet", "--boot", "--register=no", f"--directory={root}",
        f"--machine={paths.machine(host.index)}", f"--hostname={host.name}",
        f"--network-bridge={paths.bridge}",
        "--resolv-conf=off", "--timezone=off", "--link-journal=no", "--console=read-only",
        "--suppress-sync=yes",  # a lab's files outlive no power cut anyway, and dpkg syncs each one
    ]  # fmt: skip
    if not Path("/run/systemd/system").is_dir():
        nspawn.append("--keep-unit")
    return processes.spawn(
        ["sh", "-c", WATCHER, "lab-watcher", " ".join(map(str, groups)), *nspawn],
        paths.host(host.name) / "console.log",
        {"PATH": os.environ.get("PATH", os.defpath), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
    )


def stop(paths: LabPaths, host: HostState) -> None:
    """Stop a host and unmount its file system, whatever part of it exists."""
    root = root_of(paths, host.name)
    marked = processes.with_argument(f"--directory={root}")
    # both take SIGTERM as "power the guest off", and a second one as "at once": only one of them is told
    watchers = [process for process in marked if process.name == "sh"]
    processes.send(watchers or marked, signal.SIGTERM)
    # a host that was killed while it booted holds nothing, and its systemd may not listen yet
    if not processes.wait(marked, POWEROFF_SECONDS if host.ready else 1.0):
        processes.stop(marked, ask=signal.SIGKILL, seconds=5.0)
    for group in (folder / host.name for folder in _cgroups(paths)):
        if group.is_dir():
            processes.stop(processes.in_cgroup(group), ask=signal.SIGKILL, seconds=5.0)
            for folder, _, _ in os.walk(group, topdown=False):
                Path(folder).rmdir()
    interface = f"vb-{paths.machine(host.index)}"
    if (Path("/sys/class/net") / interface).exists():
        # the kernel takes a dead namespace down in the background, and the interface with it
        succeeds(["ip", "link", "delete", "dev", interface])
    while root.is_mount():
        run(["umount", str(root)])
    if paths.host(host.name).exists():
        shutil.rmtree(paths.host(host.name))


def clear(paths: LabPaths) -> None:
    """Remove what the hosts of the lab had in common."""
    for group in _cgroups(paths):
        with suppress(FileNotFoundError):
            group.rmdir()
