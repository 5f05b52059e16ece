"""Look whether a host can become what it shall be: one call, no change, all problems at once.

The options are documented in ``host_ready.yml``.
"""

from __future__ import annotations

import contextlib
import os
import platform
import re
import ssl
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.installed_packages import installed_versions

DISPLAY = "0x03"  # PCI base class of a GPU: with a screen (0300) or without one (0302)
NVIDIA = "0x10de"  # PCI vendor
PCI_DEVICES = Path("/sys/bus/pci/devices")
LISTEN = "0A"  # TCP_LISTEN of the kernel's include/net/tcp_states.h
SSH_UNITS = ("ssh.service", "ssh.socket", "sshd.service", "sshd.socket")
UNIT = re.compile(r"/([^/]+\.(?:service|scope|socket))(?:/|$)")


def release_problems(supported: list[str]) -> list[str]:
    """Compare os-release(5) with the supported releases."""
    release = platform.freedesktop_os_release()
    seen = f"{release.get('ID', '?')} {release.get('VERSION_ID', '?')}"
    if seen in supported:
        return []
    return [f"operating system {seen} ({release.get('PRETTY_NAME', '?')}); supported: {', '.join(supported)}"]


def machine_problems(architectures: list[str], memory_mib: int) -> list[str]:
    """Compare machine, init and memory with what is needed."""
    problems = []
    if platform.machine() not in architectures:
        problems.append(f"architecture {platform.machine()}; supported: {', '.join(architectures)}")
    if not Path("/run/systemd/system").is_dir():  # sd_booted(3)
        problems.append("systemd is not running as the host's init, and everything here is a systemd unit")
    total_kib = int(re.findall(r"^MemTotal:\s+(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)[0])
    if total_kib // 1024 < memory_mib:
        problems.append(
            f"memory {total_kib // 1024} MiB; at least {memory_mib} MiB are needed (preflight_memory_mib)"
        )
    return problems


def disk_problems(wanted: list[dict[str, Any]]) -> list[str]:
    """Compare free room with what is needed, at the nearest folder that exists."""
    problems = []
    for entry in wanted:
        place = Path(entry["path"])
        while not place.exists():
            place = place.parent
        found = os.statvfs(place)
        free_mib = found.f_bavail * found.f_frsize >> 20
        if free_mib < entry["free_mib"]:
            problems.append(
                f"{free_mib} MiB free at {entry['path']}; at least {entry['free_mib']} MiB are needed "
                "(preflight_disk, preflight_build_disk)"
            )
    return problems


@dataclass(frozen=True)
class Listener:
    """Who listens on a TCP port; the unit is empty when there is none or nobody can be seen."""

    port: int
    process: str
    unit: str


def _listening_inodes() -> dict[str, int]:
    """Return the port of each listening socket's inode (proc(5), /proc/net/tcp)."""
    found = {}
    for table in (Path("/proc/net/tcp"), Path("/proc/net/tcp6")):
        for line in table.read_text().splitlines()[1:] if table.exists() else []:
            fields = line.split()
            if fields[3] == LISTEN:
                found[fields[9]] = int(fields[1].rpartition(":")[2], 16)
    return found


def listeners(module: AnsibleModule) -> list[Listener]:
    """Return who listens on which TCP port."""
    unseen = _listening_inodes()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it ended while we looked
            held = {str(entry.readlink())[8:-1] for entry in process.joinpath("fd").iterdir()}
            ports = {unseen[inode] for inode in held & unseen.keys()}
            if not ports:
                continue
            name = f"{process.joinpath('comm').read_text().strip()} (process {process.name})"
            unit = UNIT.findall(process.joinpath("cgroup").read_text())[-1:] or [""]
            # systemd itself listens for its socket units
            units = _socket_units(module) if process.name == "1" else {}
            found += [Listener(port, name, units.get(port, unit[0])) for port in ports]
    seen = {listener.port for listener in found}
    return found + [Listener(port, "a process that cannot be seen", "") for port in {*unseen.values()} - seen]


def _socket_units(module: AnsibleModule) -> dict[int, str]:
    """Return the socket unit of each TCP port that systemd listens on."""
    _, out, _ = module.run_command(["systemctl", "list-sockets", "--no-legend", "--no-pager", "--plain"])
    rows = [line.split() for line in out.splitlines()]
    ports = [(row[0].rpartition(":")[2], row[1]) for row in rows if len(row) > 1]
    return {int(port): unit for port, unit in ports if port.isdigit()}


def port_problems(wanted: list[dict[str, Any]], found: list[Listener]) -> list[str]:
    """Name the ports that others than our own units hold, and who holds them."""
    problems = []
    for entry in wanted:
        for listener in found:
            if listener.port != entry["port"] or listener.unit in entry["units"]:
                continue
            where = f" of {listener.unit}" if listener.unit else ""
            stop = (
                f"systemctl disable --now {listener.unit}"
                if listener.unit.endswith((".service", ".socket"))
                else "stop it"
            )
            problems.append(
                f"port {listener.port} ({entry['variable']}) is in use by {listener.process}{where}; {stop}"
            )
    return sorted(set(problems))


def ssh_ports(found: list[Listener]) -> list[int]:
    """Return the ports that SSH is served on: what listens, and the one this very connection came in by."""
    ports = {
        listener.port
        for listener in found
        if listener.unit in SSH_UNITS or listener.process.startswith("sshd")
    }
    connection = os.environ.get(
        "SSH_CONNECTION", ""
    ).split()  # ssh(1): client address, port, server address, port
    if len(connection) == 4:
        ports.add(int(connection[3]))
    return sorted(ports)


def in_container(module: AnsibleModule) -> bool:
    """Tell whether kernel and clock are another machine's (systemd-detect-virt(1))."""
    code, _, _ = module.run_command(["systemd-detect-virt", "--quiet", "--container"])
    return bool(code == 0)


def nvidia_gpus(root: Path = PCI_DEVICES) -> list[str]:
    """Return the PCI id, ``10de:1eb8``, of each NVIDIA GPU, in the order of the slots (sysfs-bus-pci)."""
    found = []
    for device in sorted(root.iterdir()) if root.is_dir() else []:
        vendor, kind, number = (
            device.joinpath(name).read_text().strip() for name in ("vendor", "class", "device")
        )
        if vendor == NVIDIA and kind.startswith(DISPLAY):
            found.append(f"{NVIDIA[2:]}:{number[2:]}")
    return found


def certificate_problems(wanted: list[dict[str, Any]]) -> list[str]:
    """Load each certificate with its key as a server would."""
    problems = []
    for entry in wanted:
        missing = [
            f"{part} {entry[part] or '(not set)'}"
            for part in ("certificate", "key")
            if not Path(entry[part]).is_file()
        ]
        if missing:
            problems.append(f"{entry['variable']}: no such file on the host: {', '.join(missing)}")
            continue
        try:
            ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(entry["certificate"], entry["key"])
        except (ssl.SSLError, OSError) as error:
            problems.append(
                f"{entry['variable']}: {entry['certificate']} with {entry['key']} is not a PEM certificate "
                f"with its unencrypted key: {error}"
            )
    return problems


def calendar_problems(module: AnsibleModule, wanted: list[dict[str, Any]]) -> list[str]:
    """Have systemd read each time of a timer (systemd-analyze(1), calendar)."""
    problems = []
    for entry in wanted:
        code, _, error = module.run_command(["systemd-analyze", "calendar", "--", entry["calendar"]])
        if code != 0:
            said = (error.strip().splitlines() or ["refused"])[0]
            problems.append(
                f"{entry['variable']}: {entry['calendar']} is no time of systemd's ({said}); allowed is what "
                "`systemd-analyze calendar` takes, such as weekly or Sun 04:30"
            )
    return problems


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "releases": {"type": "list", "elements": "str", "required": True},
            "architectures": {"type": "list", "elements": "str", "required": True},
            "memory_mib": {"type": "int", "required": True},
            "disk": {"type": "list", "elements": "dict", "default": []},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "certificates": {"type": "list", "elements": "dict", "default": []},
            "calendars": {"type": "list", "elements": "dict", "default": []},
            "packages": {"type": "list", "elements": "str", "default": []},
            "built_packages": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    found = listeners(module)
    problems = [
        *release_problems(module.params["releases"]),
        *machine_problems(module.params["architectures"], module.params["memory_mib"]),
        *disk_problems(module.params["disk"]),
        *port_problems(module.params["ports"], found),
        *certificate_problems(module.params["certificates"]),
        *calendar_problems(module, module.params["calendars"]),
    ]
    if problems:
        module.fail_json(
            msg="this host cannot be used as it is:\n" + "\n".join(f"- {line}" for line in problems)
        )
    packages, built = module.params["packages"], module.params["built_packages"]
    versions = installed_versions(module, packages + built)
    has_lists = any(Path("/var/lib/apt/lists").glob("*_Packages*"))
    facts = {
        "architecture": platform.machine(),
        "distribution_release": platform.freedesktop_os_release().get("VERSION_CODENAME", ""),
        "in_container": in_container(module),
        "missing_packages": sorted(set(packages) - versions.keys()),
        "nvidia_gpus": nvidia_gpus(),
        "package_lists": has_lists,
        "package_versions": {name: versions[name] for name in built if name in versions},
        "ssh_ports": ssh_ports(found),
    }
    module.exit_json(changed=False, ansible_facts=facts)


if __name__ == "__main__":
    main()
