"""The files that make a fresh copy of the base image one particular host."""

from __future__ import annotations

from ipaddress import IPv4Network, ip_address
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.errors import OperatorError
from appliance.lab.ssh import ensure_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from appliance.lab.checkout import LabPaths
    from appliance.lab.state import HostState

USER_SUBNET = IPv4Network("10.0.2.0/24")
"""QEMU's user networking (qemu(1), -netdev user): the guest is .15, this machine .2, the resolver .3."""

RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
"""The machine's resolver settings; the second one names the real servers behind systemd-resolved's stub."""

File = tuple[str, int]
"""Content and mode of one file."""


def resolver(files: Iterable[Path] = RESOLVERS) -> str:
    """Return a resolv.conf(5) for the guests: that of the machine, without servers only it can reach.

    Raises:
        OperatorError: the machine has no resolver that another host could ask.
    """
    for file in files:
        if not file.is_file():
            continue
        kept = []
        usable = False
        for line in file.read_text().splitlines():
            words = line.split()
            if words[:1] == ["nameserver"] and len(words) > 1:
                if ip_address(words[1].partition("%")[0]).is_loopback:
                    continue
                usable = True
            if words and words[0] in ("nameserver", "search", "domain", "options"):
                kept.append(line)
        if usable:
            return "\n".join(kept) + "\n"
    raise OperatorError(
        "the machine's resolver listens on loopback only, where a host of the lab cannot ask it",
        hint="name a server that other hosts reach in /etc/resolv.conf",
    )


def hosts_file(name: str, hosts: Mapping[str, HostState]) -> str:
    """Return the hosts(5) file of one host: every host of the lab by name."""
    lines = ["127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback"]
    # without a network in common (user networking) the others' addresses mean nothing
    shared = {host.address for host in hosts.values() if not ip_address(host.address).is_loopback}
    if hosts[name].address not in shared:
        lines.append(f"127.0.1.1 {name}")
    lines += [f"{host.address} {other}" for other, host in sorted(hosts.items()) if host.address in shared]
    return "\n".join(lines) + "\n"


def network_file(match: str, address: str, subnet: IPv4Network, gateway: str) -> str:
    """Return the systemd.network(5) file for a static address."""
    return (
        f"[Match]\n{match}\n\n[Network]\nAddress={address}/{subnet.prefixlen}\nGateway={gateway}\n"
        "LinkLocalAddressing=ipv6\nIPv6AcceptRA=no\n"
    )


def keys(paths: LabPaths, name: str) -> tuple[Path, str, str]:
    """Return the host's private key file, its public half and the operator's; make what is missing."""
    host_key = paths.host(name) / "ssh_host_ed25519_key"
    return host_key, ensure_key(host_key, f"root@{name}"), ensure_key(paths.key, f"lab {paths.lab}")


def files(
    paths: LabPaths, host: HostState, hosts: Mapping[str, HostState], network: str, resolv: str
) -> dict[str, File]:
    """Return path, content and mode of each file of a host.

    Args:
        paths: the lab.
        host: the host.
        hosts: all hosts of the lab, for the host's hosts(5) file.
        network: its systemd.network(5) file.
        resolv: its resolv.conf(5).
    """
    host_key, public, operator = keys(paths, host.name)
    return {
        "etc/hostname": (f"{host.name}\n", 0o644),
        "etc/hosts": (hosts_file(host.name, hosts), 0o644),
        "etc/resolv.conf": (resolv, 0o644),
        "etc/systemd/network/10-lab.network": (network, 0o644),
        "etc/ssh/ssh_host_ed25519_key": (host_key.read_text(), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (public + "\n", 0o644),
        "root/.ssh/authorized_keys": (operator + "\n", 0o600),
    }


def write(root: Path, wanted: Mapping[str, File]) -> None:
    """Write files below `root`, replacing what is there, links included, and nothing that is the same."""
    for name, (content, mode) in wanted.items():
        target = root / name
        if not target.is_symlink() and target.is_file() and target.read_text() == content:
            continue
        target.parent.mkdir(parents=True, exist_ok=True, mode=0o755)
        if target.parent.name == ".ssh":
            target.parent.chmod(0o700)
        target.unlink(missing_ok=True)
        target.touch(mode=0o600)
        target.write_text(content)
        target.chmod(mode)
