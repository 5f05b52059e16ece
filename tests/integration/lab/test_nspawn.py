"""Real hosts: they come up, reach each other, are reused, survive a killed run, and leave nothing."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.lab import lab
from appliance.lab.network import FORWARDING
from appliance.lab.state import load
from tests.integration.lab.traces import output, paths, traces, until
from tests.support.access import open_to_others

if TYPE_CHECKING:
    from collections.abc import Callable

APPLIANCE = str(Path(sys.executable).parent / "appliance")


def on(host: lab.Host, command: str) -> str:
    return output(*host.ssh, command)


def test_two_labs_side_by_side(labs: tuple[str, str]) -> None:
    forwarding = FORWARDING.read_text()
    first = lab.up(["one", "two"], lab=labs[0])
    second = lab.up(["one"], lab=labs[1])
    assert first.subnet != second.subnet

    # a real systemd on Debian 13, with a name and an identity of its own
    one, two = first.host("one"), first.host("two")
    assert on(one, "hostname; . /etc/os-release; echo $VERSION_ID").split() == ["one", "13"]
    assert on(one, "systemctl is-system-running --wait").strip() == "running"
    assert on(one, "cat /etc/machine-id") != on(two, "cat /etc/machine-id")
    assert on(one, "cat /etc/ssh/ssh_host_ed25519_key.pub") != on(
        two, "cat /etc/ssh/ssh_host_ed25519_key.pub"
    )

    # neighbours by name, the world through NAT
    on(one, "ping -c 1 -W 2 two")
    on(two, "ping -c 1 -W 2 one")
    on(one, "apt-get update -qq -o Acquire::Languages=none")

    # units of one host are no business of the other's systemd
    on(one, "systemd-run --unit=mine --quiet sleep infinity")
    on(two, "systemd-run --unit=mine --quiet sleep infinity; systemctl stop mine")
    assert on(one, "systemctl is-active mine").strip() == "active"

    # the second `up` finds everything as it is
    began = time.monotonic()
    again = json.loads(output(APPLIANCE, "lab", "up", "--lab", labs[0], "--json", "one", "two"))
    # about one second on a free machine
    assert time.monotonic() - began < 5.0
    assert [host["address"] for host in again["hosts"]] == [one.address, two.address]
    assert on(one, "systemctl is-active mine").strip() == "active"

    # a third host is known to the first two
    third = lab.up(["three"], lab=labs[0]).host("three")
    on(one, "ping -c 1 -W 2 three")
    on(third, "ping -c 1 -W 2 one")

    # Ansible reaches all of them through the inventory
    ansible = str(Path(sys.executable).parent / "ansible")
    output(ansible, "-i", str(first.inventory), "origins", "-m", "ansible.builtin.ping")

    # other groups stay, also where no host had to be started for them
    grouped = lab.up([], lab=labs[0], groups={"origins": ["two"]}).inventory.read_text()
    assert lab.up([], lab=labs[0]).inventory.read_text() == grouped

    assert {*labs} <= {*lab.names()}
    assert lab.down(labs[0])
    assert traces(labs[0]) == {}
    assert lab.status(labs[0]) is None
    assert on(second.host("one"), "hostname").strip() == "one"
    assert lab.down(labs[1])
    assert traces(labs[1]) == {}
    assert not lab.down(labs[1])
    assert FORWARDING.read_text() == forwarding


def test_a_host_reboots_and_one_that_is_off_is_started_afresh(labs: tuple[str, str]) -> None:
    host = lab.up(["one"], lab=labs[0]).host("one")
    boot = on(host, "touch /root/mine; cat /proc/sys/kernel/random/boot_id")
    subprocess.run([*host.ssh, "reboot"], check=False)
    until(lambda: answers(host) and on(host, "cat /proc/sys/kernel/random/boot_id") != boot, "the reboot")
    on(host, "test -e /root/mine")

    subprocess.run([*host.ssh, "poweroff"], check=False)
    until(lambda: not state_of(labs[0]).hosts[0].running, "the poweroff")
    status = subprocess.run([APPLIANCE, "lab", "status", "--lab", labs[0]], capture_output=True, check=False)
    assert status.returncode == 3
    again = lab.up(["one"], lab=labs[0]).host("one")
    assert "mine" not in on(again, "ls -A /root").split()


def answers(host: lab.Host) -> bool:
    return subprocess.run([*host.ssh, "true"], capture_output=True, check=False).returncode == 0


def state_of(name: str) -> lab.Lab:
    found = lab.status(name)
    assert found is not None
    return found


def written(name: str) -> bool:
    return (paths(name).folder / "state.json").exists()


def bridged(name: str) -> bool:
    return (Path("/sys/class/net") / paths(name).bridge).exists()


def mounted(name: str) -> bool:
    return (paths(name).host("one") / "root").is_mount()


def started(name: str) -> bool:
    return f"--directory={paths(name).host('one')}/root" in output("ps", "-eo", "args", "-ww")


def recorded(name: str) -> bool:
    state = load(paths(name))
    return state is not None and state.hosts["one"].process is not None


@pytest.mark.parametrize("moment", [written, bridged, mounted, started, recorded])
def test_what_a_killed_run_leaves_is_found_by_the_next(
    labs: tuple[str, str], moment: Callable[[str], bool]
) -> None:
    argv = [APPLIANCE, "lab", "up", "--lab", labs[0], "one", "two"]
    with subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
        until(lambda: moment(labs[0]), moment.__name__)
        run.send_signal(signal.SIGKILL)
    made = lab.up(["one", "two"], lab=labs[0])
    on(made.host("one"), "ping -c 1 -W 2 two")
    with subprocess.Popen([APPLIANCE, "lab", "down", "--lab", labs[0]], stdout=subprocess.DEVNULL) as run:
        until(lambda: not started(labs[0]), "the end of a host")
        run.send_signal(signal.SIGKILL)
    lab.down(labs[0])
    assert traces(labs[0]) == {}


def test_without_root_the_message_names_the_driver_that_works() -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv (util-linux) is not installed")
    if not open_to_others(Path(sys.prefix)):
        pytest.skip("the checkout is in a folder that others may not enter")
    code = "from appliance.lab import nspawn; nspawn.check()"
    argv = ["setpriv", "--reuid=65534", "--clear-groups", sys.executable, "-c", code]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert "needs root" in done.stderr
    assert "--driver vm" in done.stderr


def test_a_lab_does_not_change_its_driver(labs: tuple[str, str]) -> None:
    lab.up(["one"], lab=labs[0])
    with pytest.raises(OperatorError, match="is up with driver nspawn, not vm"):
        lab.up(["one"], lab=labs[0], driver="vm")
