"""The machine has rebooted by itself into what playbooks/site.yml made of it, and serves.

Run by `make test-vm` (molecule, scenario vm) after its reboot: what a container cannot show.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.vm.emulated import EMULATED_SECONDS, publishing, wait_for

TUNING = Path(__file__).parents[2] / "roles" / "tuning" / "defaults" / "main.yml"


def words(value: object) -> list[str]:
    """Return a kernel setting in a form that can be compared: the kernel separates by tabs."""
    return str(value).split()


def test_it_is_a_machine_of_its_own_that_has_booted_again(host: Any) -> None:
    assert host.check_output("systemd-detect-virt") in {"qemu", "kvm"}
    assert len(host.check_output("journalctl --list-boots --no-pager -q").splitlines()) >= 2
    assert host.check_output("systemctl is-system-running --wait") == "running"


def test_every_kernel_setting_is_in_force(host: Any) -> None:
    """None is skipped here, where nothing belongs to another kernel."""
    wanted = yaml.safe_load(TUNING.read_text())["tuning_sysctl"]
    # one call, and an unknown key fails it
    seen = host.check_output(f"sysctl --values {' '.join(wanted)}").splitlines()
    differing = {
        key: (words(item["value"]), words(value))
        for (key, item), value in zip(wanted.items(), seen, strict=True)
        if words(item["value"]) != words(value)
    }
    assert differing == {}


def test_the_network_card_paces_each_connection(host: Any) -> None:
    """`default_qdisc` is read when a card comes up, so only a boot shows whether it comes early enough."""
    assert " fq " in host.check_output("tc qdisc show dev eth0")


@pytest.mark.parametrize("unit", ["appliance-ingest", "appliance-delivery", "appliance-control"])
def test_the_limit_of_open_files_is_in_force(host: Any, unit: str) -> None:
    shown = host.check_output(f"systemctl show --property MainPID,LimitNOFILE {unit}.service")
    wanted = dict(line.split("=") for line in shown.splitlines())
    limits = host.check_output(f"cat /proc/{wanted['MainPID']}/limits")
    line = next(line for line in limits.splitlines() if line.startswith("Max open files"))
    assert line.split()[4] == wanted["LimitNOFILE"]
    # more than what a process gets that nobody thought about
    assert int(line.split()[3]) > 1024


def test_it_answers(address: str) -> None:
    with httpx.Client(trust_env=False, timeout=30) as client:
        assert client.get(f"http://{address}:8080/health").status_code == 200


def test_a_stream_plays(address: str) -> None:
    """Published, accepted, encoded, packaged, delivered and decoded: all after the boot, by itself."""
    url = f"http://{address}:8080/hls/demo.m3u8"
    player = ["ffmpeg", "-v", "error", "-i", url, "-map", "0:v:0", "-frames:v", "20", "-f", "framemd5", "-"]
    with publishing(f"rtmp://{address}/live/demo"):
        wait_for(url)
        played = subprocess.run(player, capture_output=True, text=True, check=False, timeout=EMULATED_SECONDS)
    assert played.returncode == 0, played.stderr
    pictures = [line for line in played.stdout.splitlines() if not line.startswith("#")]
    # the test picture moves: each is another one
    assert len({line.split(",")[-1] for line in pictures}) == 20
