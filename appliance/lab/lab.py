"""Bring a lab up, take it down, say what it is: the interface for the rest of the project.

from appliance.lab.lab import up, down, status

lab = up(["origin"], lab="demo", say=print)
subprocess.run([*lab.host("origin").ssh, "uname", "-a"])
subprocess.run(["ansible-playbook", "-i", str(lab.inventory), "playbooks/site.yml"])
down("demo")
"""

from __future__ import annotations

import subprocess
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from ipaddress import IPv4Network
from typing import TYPE_CHECKING, Any

from appliance.errors import OperatorError
from appliance.lab import guest, inventory, network, ssh
from appliance.lab.checkout import LabPaths, check_name, find_checkout
from appliance.lab.drivers import DEFAULT_DRIVER, driver_named
from appliance.lab.state import HostState, State, load, locked, save
from appliance.program import program

if TYPE_CHECKING:
    from pathlib import Path

Say = Callable[[str], None]

DEFAULT_LAB = "demo"
DEFAULT_HOSTS = ("origin",)


@dataclass(frozen=True)
class Host:
    """One host of a lab."""

    name: str
    address: str
    """IPv4 address that this machine reaches it at (127.0.0.1, with a port of its own, where it has none)."""
    port: int
    """Port of its sshd at that address."""
    running: bool
    ssh: tuple[str, ...]
    """Command prefix: what is appended runs on the host, as root."""


@dataclass(frozen=True)
class Lab:
    """A lab and its hosts."""

    name: str
    driver: str
    subnet: str
    """IPv4 network of the hosts; this machine is its first address. Empty with user networking."""
    hosts: tuple[Host, ...]
    inventory: Path
    """Ansible inventory with all hosts."""

    def host(self, name: str) -> Host:
        """Return the host of that name.

        Raises:
            OperatorError: the lab has none; names those it has.
        """
        for host in self.hosts:
            if host.name == name:
                return host
        raise OperatorError(
            f"lab {self.name!r} has no host {name!r}; it has: {', '.join(host.name for host in self.hosts)}"
        )

    def as_data(self) -> dict[str, Any]:
        """Return the lab in the form that `--json` prints."""
        return {
            "lab": self.name,
            "driver": self.driver,
            "subnet": self.subnet,
            "inventory": str(self.inventory),
            "hosts": [{**vars(host), "ssh": list(host.ssh)} for host in self.hosts],
        }


def _silent(line: str) -> None:
    """Say nothing."""


def _describe(paths: LabPaths, state: State) -> Lab:
    return Lab(
        name=paths.lab,
        driver=state.driver,
        subnet=state.subnet,
        hosts=tuple(
            Host(
                name=name,
                address=host.address,
                port=host.port,
                running=host.ready and host.process is not None and host.process.alive,
                ssh=tuple(ssh.prefix(paths, host)),
            )
            for name, host in sorted(state.hosts.items())
        ),
        inventory=paths.inventory,
    )


def _paths(lab: str) -> LabPaths:
    return LabPaths(find_checkout(), check_name("lab", lab))


def names() -> list[str]:
    """Return the names of all labs of this checkout that are up, or were when their run was killed."""
    return sorted(file.parent.name for file in (find_checkout() / ".lab").glob("*/state.json"))


def status(lab: str = DEFAULT_LAB) -> Lab | None:
    """Return the lab, None when it is down. Does not wait for a run that is changing it."""
    paths = _paths(lab)
    state = load(paths)
    return None if state is None else _describe(paths, state)


def down(lab: str = DEFAULT_LAB, *, say: Say = _silent) -> bool:
    """Stop and remove every host of a lab, its network and its files; False when there was nothing.

    Works on what a killed run left behind as well, and may itself be killed and run again.

    Raises:
        OperatorError: something could not be removed.
    """
    paths = _paths(lab)
    with locked(paths.lock, what=f"lab {lab!r}", keep=paths.folder.exists):
        state = load(paths)
        if state is None:
            return False
        driver = driver_named(state.driver)
        say(f"stopping {', '.join(sorted(state.hosts)) or 'nothing'}")
        _stop(paths, state, sorted(state.hosts))
        ssh.close(paths)
        driver.clear(paths)
        if state.subnet:
            network.down(paths)
        # the state goes last: as long as anything is left, the next run must know of it
        for file in sorted(paths.folder.iterdir(), key=lambda file: file.name == "state.json"):
            if file.is_dir():
                file.rmdir()
            else:
                file.unlink()
        paths.folder.rmdir()
        return True


def _stop(paths: LabPaths, state: State, names: Sequence[str]) -> None:
    """Stop hosts, all at the same time."""
    driver = driver_named(state.driver)
    with ThreadPoolExecutor(max_workers=max(1, len(names))) as pool:
        list(pool.map(lambda name: driver.stop(paths, state.hosts[name]), names))


def _state_for(paths: LabPaths, driver: str | None) -> State:
    """Return the lab's state, a new one when there is none."""
    state = load(paths)
    if state is None:
        return State(driver=driver or DEFAULT_DRIVER)
    if driver and driver != state.driver:
        raise OperatorError(
            f"lab {paths.lab!r} is up with driver {state.driver}, not {driver}",
            hint=f"{program()} lab down --lab {paths.lab}, or choose another name with --lab",
        )
    return state


def up(
    names: Sequence[str] = DEFAULT_HOSTS,
    *,
    lab: str = DEFAULT_LAB,
    driver: str | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    say: Say = _silent,
) -> Lab:
    """Make sure that hosts run and answer on SSH; those that do already are left as they are.

    Args:
        names: hosts to have; others that the lab already has stay.
        lab: name of the lab; labs know nothing of each other.
        driver: `nspawn` or `vm`; that of the lab, else `nspawn`, when None.
        groups: inventory group → hosts; those of the lab, else `inventory.default_groups`, when None.
        say: called with each line of progress.

    Returns:
        The whole lab, with the inventory written.

    Raises:
        OperatorError: a name is not allowed, the driver cannot work here, or a host does not start.
    """
    paths = _paths(lab)
    for name in names:
        check_name("host", name)
    if driver:
        driver_named(driver)
    with locked(paths.lock, what=f"lab {lab!r}", keep=paths.folder.exists):
        state = _state_for(paths, driver)
        chosen = driver_named(state.driver)
        if groups is not None:
            state.groups = inventory.check_groups(groups, {*names, *state.hosts})
        chosen.check()
        stale = [n for n, h in sorted(state.hosts.items()) if not (h.ready and h.process and h.process.alive)]
        kept = [name for name in sorted(state.hosts) if name not in stale]
        missing = [name for name in dict.fromkeys((*stale, *names)) if name not in kept]
        if stale:
            say(f"removing what is left of {', '.join(stale)}")
            _stop(paths, state, stale)
            ssh.close(paths)
        if missing:
            _start(paths, state, missing, say)
        elif groups is not None:
            save(paths, state)
        ssh.open_folder(paths)
        inventory.write(paths, state)
        _check_kept(paths, state, kept, bool(missing), say)
        return _describe(paths, state)


def _start(paths: LabPaths, state: State, names: Sequence[str], say: Say) -> None:
    """Start hosts in parallel and wait until each answers."""
    driver = driver_named(state.driver)
    base = driver.prepare(paths, say)
    running = {name for name in state.hosts if name not in names}
    if driver.bridged() and (not state.subnet or not running):
        state.subnet = str(
            network.choose_subnet(paths.ident, network.routed_networks(except_device=paths.bridge))
        )
    for name in names:
        state.hosts.pop(name, None)
    for name in names:
        index = state.free_index()
        address, port = driver.address(index, state.subnet)
        state.hosts[name] = HostState(name=name, index=index, address=address, port=port)
    for name in names:
        paths.host(name).mkdir(parents=True, exist_ok=True)
    save(paths, state)
    if state.subnet:
        network.up(paths, IPv4Network(state.subnet))
    for name in names:
        guest.keys(paths, name)
    ssh.write_known_hosts(paths, state.hosts)
    writing = threading.Lock()

    def start_one(name: str) -> None:
        host = state.hosts[name]
        process = driver.start(paths, host, state.hosts, state.subnet, base)
        with writing:
            host.process = process
            save(paths, state)
        ssh.wait_until_answering(paths, host, driver.answer_seconds())
        with writing:
            host.ready = True
            save(paths, state)
        say(f"host {name} answers at {host.address}" + (f" port {host.port}" if host.port != 22 else ""))

    say(f"starting {', '.join(names)} (driver {state.driver})")
    with ThreadPoolExecutor(max_workers=len(names)) as pool:
        list(pool.map(start_one, names))


def _check_kept(paths: LabPaths, state: State, kept: Sequence[str], changed: bool, say: Say) -> None:
    """See that the hosts which were already there still answer, and let them know the new ones by name."""
    seconds = driver_named(state.driver).answer_seconds()
    for name in kept:
        host = state.hosts[name]
        ssh.wait_until_answering(paths, host, seconds)
        if changed:
            text = guest.hosts_file(name, state.hosts)
            subprocess.run([*ssh.prefix(paths, host), "cat >/etc/hosts"], input=text, text=True, check=True)
        else:
            say(f"host {name} is already up at {host.address}")
