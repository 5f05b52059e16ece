"""Driver `vm`: a QEMU guest with a kernel of its own for each host.

For what a container cannot show: kernel tuning, a real boot, a reboot. The guest's disk is one ext4
file system made from the same kind of image as the containers', copied for each host; kernel and
initial RAM disk are handed to QEMU directly, so no boot loader and no loop mount is needed. As root
the guest sits on the lab's bridge, like a container; else behind QEMU's user networking.
"""

from __future__ import annotations

import os
import platform
import shutil
import signal
import socket
import subprocess
import threading
from ipaddress import IPv4Network
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab import disk, guest, image, processes
from appliance.lab.command import require, run, succeeds
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.lab.checkout import LabPaths
    from appliance.lab.processes import Process
    from appliance.lab.state import HostState

QEMU = "qemu-system-x86_64"

KERNEL_PACKAGES = ("linux-image-cloud-amd64", "initramfs-tools", "zstd")
"""Debian's kernel for virtual machines: small, with the virtio drivers as modules of its initial RAM disk."""

MEMORY_LIMIT_MIB = 4096
"""More than a streaming host of one stream needs; half of the machine's memory where that is less."""

SERVED_PORTS = (1935, 8080, 8443)
"""What a streaming host serves: behind user networking it is reached at the same ports of this machine."""

KVM_CPUS = ("host", "host,-arch-capabilities")
"""CPU models to try: a nested hypervisor may refuse to let IA32_ARCH_CAPABILITIES be set."""

KVM_PROBE_SECONDS = 15.0
"""A kernel under KVM gets through its own start in about one second."""


def check() -> None:
    """Check that this machine can run QEMU guests.

    Raises:
        OperatorError: names what is missing and the driver that works without it.
    """
    if platform.machine() != "x86_64":
        raise OperatorError(
            f"driver vm runs on x86_64, this machine is {platform.machine()}",
            hint=f"{program()} lab up --driver nspawn (as root) runs on any architecture",
        )
    require(QEMU, "mmdebstrap", "mke2fs", "debugfs", "ssh", "ssh-keygen")
    if os.geteuid() != 0:
        require("newuidmap")  # the image is made in a user namespace, with a range of ids from /etc/subuid


def bridged() -> bool:
    """Whether the guests can sit on the lab's bridge."""
    return os.geteuid() == 0 and Path("/dev/net/tun").exists() and succeeds(["nft", "list", "tables"])


def answer_seconds() -> float:
    """A guest answers within 60 s emulated on a free machine; this is for a busy one."""
    return 300.0


def kvm_cpu(kernel: Path) -> str | None:
    """Return the CPU model under which a guest really runs with KVM, None when it does with none.

    The device node alone proves nothing, nor does a guest of a few instructions: a nested machine
    may run those and stop at the first one it would have to emulate. So the probe starts the kernel
    without any root file system: it runs through its start, panics and resets, and QEMU ends with 0.
    """
    if not os.access("/dev/kvm", os.R_OK | os.W_OK):
        return None
    for cpu in KVM_CPUS:
        argv = [QEMU, "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-machine", "q35",
                "-accel", "kvm", "-cpu", cpu, "-smp", str(os.cpu_count() or 1), "-m", "256",
                "-kernel", str(kernel), "-append", "panic=-1"]  # fmt: skip
        # a KVM error leaves QEMU standing with the guest paused; it says so on stderr at once
        with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE) as probe:
            timer = threading.Timer(KVM_PROBE_SECONDS, probe.kill)
            timer.start()
            for line in probe.stderr or ():
                if b"KVM internal error" in line:
                    probe.kill()
            code = probe.wait()
            timer.cancel()
        if code == 0:
            return cpu
    return None


def memory_mib() -> int:
    """Return the memory of a guest, MiB."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20
    return min(MEMORY_LIMIT_MIB, total // 2)


def prepare(paths: LabPaths, say: image.Say) -> Path:
    """Return the folder with the base disk, its kernel and its initial RAM disk."""
    return disk.ensure(paths.images, image.recipe(KERNEL_PACKAGES), say)


def address(index: int, subnet: str) -> tuple[str, int]:
    """Return address and SSH port of a host: on the bridge its own, else a free port of this machine."""
    if subnet:
        return str(IPv4Network(subnet)[10 + index]), 22
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return "127.0.0.1", probe.getsockname()[1]


def _free(address: str, port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((address, port))
        except OSError:
            return False
        return True


def _tap(paths: LabPaths, index: int) -> str:
    return f"vt-{paths.machine(index)}"


def _network(paths: LabPaths, host: HostState, subnet: str) -> tuple[str, str, str]:
    """Make the host's interface; return QEMU's netdev, the guest's .network file and its resolv.conf."""
    if not subnet:
        forwards = {host.port: 22} | {port: port for port in SERVED_PORTS if _free(host.address, port)}
        netdev = "user,id=lan" + "".join(
            f",hostfwd=tcp:{host.address}:{here}-:{there}" for here, there in forwards.items()
        )
        inside = guest.network_file(
            "Type=ether", str(guest.USER_SUBNET[15]), guest.USER_SUBNET, str(guest.USER_SUBNET[2])
        )
        return netdev, inside, f"nameserver {guest.USER_SUBNET[3]}\n"
    tap = _tap(paths, host.index)
    if not (Path("/sys/class/net") / tap).exists():
        run(["ip", "tuntap", "add", "dev", tap, "mode", "tap"])
    run(["ip", "link", "set", "dev", tap, "master", paths.bridge, "up"])
    network = IPv4Network(subnet)
    inside = guest.network_file("Type=ether", host.address, network, str(network[1]))
    return f"tap,id=lan,ifname={tap},script=no,downscript=no", inside, guest.resolver()


def start(
    paths: LabPaths, host: HostState, hosts: Mapping[str, HostState], subnet: str, base: Path
) -> Process:
    """Start a host (the lab's network must be up) and return its QEMU process.

    Raises:
        OperatorError: the disk could not be made or QEMU not be started.
    """
    folder = paths.host(host.name)
    netdev, inside, resolver = _network(paths, host, subnet)
    drive = folder / "disk.raw"
    run(["cp", "--sparse=always", "--reflink=auto", str(base / disk.NAME), str(drive)])
    disk.write(drive, guest.files(paths, host, hosts, inside, resolver))
    cpu = kvm_cpu(base / disk.KERNEL)
    accelerator = ["-accel", "kvm", "-cpu", cpu] if cpu else ["-accel", "tcg,thread=multi", "-cpu", "max"]
    console = folder / "console.log"
    mac = f"52:54:00:{paths.ident[0:2]}:{paths.ident[2:4]}:{host.index:02x}"
    argv = [
        QEMU, "-name", paths.machine(host.index), "-nodefaults", "-no-user-config", "-display", "none",
        "-machine", "q35", *accelerator,
        "-smp", str(os.cpu_count() or 1),
        "-m", str(memory_mib()), "-kernel", str(base / disk.KERNEL), "-initrd", str(base / disk.INITRD),
        "-append", "root=/dev/vda rw console=ttyS0 net.ifnames=0 quiet",
        "-serial", f"file:{console}",
        # the disk is thrown away with the host: nothing needs to survive the machine's power
        "-drive", f"file={drive},format=raw,if=virtio,cache=unsafe,discard=unmap",
        "-netdev", netdev, "-device", f"virtio-net-pci,netdev=lan,mac={mac}",
        "-device", "virtio-rng-pci",
    ]  # fmt: skip
    return processes.spawn(argv, folder / "qemu.log", os.environ)


def stop(paths: LabPaths, host: HostState) -> None:
    """Stop a host and remove its files, whatever part of it exists."""
    # SIGTERM ends QEMU at once: there is nothing to save on a disk that goes with the host
    processes.stop(processes.with_argument(paths.machine(host.index)), ask=signal.SIGTERM, seconds=10.0)
    tap = _tap(paths, host.index)
    if (Path("/sys/class/net") / tap).exists():
        succeeds(["ip", "link", "delete", "dev", tap])
    if paths.host(host.name).exists():
        shutil.rmtree(paths.host(host.name))


def clear(paths: LabPaths) -> None:
    """Remove nothing: the hosts have nothing in common."""
    del paths
