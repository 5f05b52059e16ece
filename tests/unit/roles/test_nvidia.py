"""What the role nvidia decides from what it sees of a host; the rest wants a machine with a GPU."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from typing import TYPE_CHECKING, Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from appliance.media.encode.encoder import CODECS
from appliance.media.encode.gpu_faults import telling
from tests.unit.media.encode import test_gpu_faults as recorded
from tests.unit.test_templates import HOST, ROLES, role_variables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.roles.conftest import Render

RUNNING, NEWER = "6.12.90+deb13-amd64", "6.12.118+deb13-amd64"
VERSION = "550.163.01"
GENERATIONS = {"10de:1eb8": "Turing", "10de:102d": "before Maxwell", "10de:1bb3": "Pascal"}
T4, K80, P4 = GENERATIONS
GROUP = 990
SEEN: dict[str, Any] = {
    **HOST["__nvidia_host"],
    "kernel": RUNNING,
    "kernels": [RUNNING],
    "images": [RUNNING],
    "built": {RUNNING: VERSION},
    "version": VERSION,
    "installed": {},
    "loaded": VERSION,
    "device_options": {"uid": 0, "gid": GROUP, "mode": 0o660},
    "device_group_id": GROUP,
    "nouveau": False,
}


def decided(name: str, *, gpus: list[str] | None = None, container: bool = False, **seen: Any) -> Any:
    """Return a variable of the role on a host with these GPUs; extra keywords are what the module has seen.

    A keyword that begins with ``nvidia_`` or ``__`` is a variable.
    """
    loader = DataLoader()
    variables = role_variables(ROLES / "nvidia", loader)
    own = {key: seen.pop(key) for key in list(seen) if key.startswith(("nvidia_", "__"))}
    there = [T4] if gpus is None else gpus
    known = [{"id": each, "generation": GENERATIONS[each]} for each in there + own.get("nvidia_pci_ids", [])]
    variables |= own | {"__nvidia_host": {**SEEN, "gpus": known, **seen}}
    facts = {**HOST["ansible_facts"], "nvidia_gpus": there, "in_container": container}
    variables["ansible_facts"] = facts
    return Templar(loader=loader, variables=variables).template(trust_as_template(f"{{{{ {name} }}}}"))


def test_a_host_that_has_all_waits_for_nothing() -> None:
    assert decided("_nvidia_waits_for_reboot") == ""
    assert decided("_nvidia_kernel_lacks") is False


def test_a_module_for_another_kernel_is_none_for_the_running_one() -> None:
    other: dict[str, Any] = {
        "kernels": [NEWER],
        "built": {NEWER: VERSION},
        "loaded": "",
        "device_options": {},
    }
    assert decided("_nvidia_kernel_lacks", **other) is True
    assert decided("_nvidia_incomplete", **other) is True
    assert decided("_nvidia_bootable", images=[RUNNING], **other) == []  # the play ends: no restart helps
    assert decided("_nvidia_bootable", images=[RUNNING, NEWER], **other) == [NEWER]
    assert NEWER in decided("_nvidia_waits_for_reboot", images=[RUNNING, NEWER], **other)
    assert decided("_nvidia_kernel_lacks", container=True, **other) is False


@pytest.mark.parametrize(
    ("seen", "reason"),
    [
        ({"nouveau": True}, "nouveau"),
        ({"loaded": "535.247.01"}, "535.247.01"),
        ({"device_options": {"uid": 0, "gid": 0, "mode": 0o666}}, "without the options"),
    ],
)
def test_what_a_restart_mends_is_said(seen: dict[str, Any], reason: str) -> None:
    assert reason in decided("_nvidia_waits_for_reboot", **seen)


def test_an_image_upgrade_is_not_for_a_container() -> None:
    seen: dict[str, Any] = {"kernel_packages": ["linux-headers-amd64", "linux-image-amd64"]}
    assert decided("_nvidia_kernel_packages", **seen) == seen["kernel_packages"]
    assert decided("_nvidia_kernel_packages", container=True, **seen) == ["linux-headers-amd64"]
    assert decided("_nvidia_brings", **seen) == ["linux-headers-amd64"], "a kernel stays when the driver goes"


@pytest.mark.parametrize(
    ("gpus", "prepared", "driven", "loads"),
    [
        ([T4], [], [T4], True),
        ([T4, K80], [], [T4], True),
        ([T4, P4], [], [T4, P4], True),
        ([], [P4], [], False),
        ([K80], [P4], [], False),
    ],
)
def test_gpus_count_that_are_there_and_that_the_driver_knows(
    gpus: list[str], prepared: list[str], driven: list[str], loads: bool
) -> None:
    assert decided("_nvidia_driven", gpus=gpus, nvidia_pci_ids=prepared) == driven
    assert decided("_nvidia_loads", gpus=gpus, nvidia_pci_ids=prepared) is loads


def test_a_host_without_a_driver_gets_what_apt_would_install() -> None:
    seen: dict[str, Any] = {
        "available": ["570.1.1", VERSION],
        "candidate": VERSION,
    }  # the first one is from backports
    assert decided("_nvidia_wanted_version", **seen | {"version": ""}) == VERSION
    assert decided("_nvidia_wanted_version", **seen, nvidia_version="570.1.1") == "570.1.1"
    assert decided("_nvidia_incomplete", installed={}, version="") is True


def test_only_what_the_driver_has_brought_goes_with_it() -> None:
    seen: dict[str, Any] = {
        "installed": dict.fromkeys(["libcuda1", "dkms", "mokutil", "linux-headers-amd64"], "1"),
        "brought": ["dkms"],
    }
    assert decided("_nvidia_ours", **seen) == ["dkms", "libcuda1"]
    before = "Remv unrelated [1]\n"
    leaving = decided(
        "_nvidia_leaving",
        __nvidia_unwanted_before={"stdout": before},
        __nvidia_unwanted={"stdout": f"{before}Remv dkms [3]\nRemv gcc [4]\n"},
    )
    assert leaving == ["dkms", "gcc"]


@pytest.mark.parametrize(
    "printed",
    [
        text
        for name, text in vars(recorded).items()
        if name.isupper() and isinstance(text, str) and not text.startswith("[h264 @")
    ],
)
def test_the_line_that_tells_why_is_printed(printed: str) -> None:
    lines = printed.splitlines()
    assert decided("_nvidia_refusal", __nvidia_encoded={"stderr_lines": lines}) == telling(lines)


def test_the_trial_uses_the_streams_encoder() -> None:
    assert CODECS["nvenc"] in decided("_nvidia_trial")


@pytest.mark.parametrize(
    ("units", "restarts"),
    [("", True), ("stream@a.service loaded activating auto-restart", False)],
)
def test_no_host_is_restarted_under_a_stream(tmp_path: Path, units: str, restarts: bool) -> None:
    """Asked in the very command that restarts: another host may have taken minutes before this one's turn."""
    command = str(decided("_nvidia_restart_command"))
    assert command.startswith("/bin/sh -c '"), "Ansible's reboot splits it at the first space"
    systemctl = tmp_path / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >>{tmp_path}/asked\n[ "$1" = reboot ] || echo "{units}"\n')
    systemctl.chmod(0o755)
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    asked = (tmp_path / "asked").read_text()
    assert "activating" in asked
    assert asked.endswith("reboot\n") is restarts
    assert (done.returncode == 0) is restarts
    assert ("streams are live" in done.stdout) is not restarts


def test_the_devices_are_made_at_boot(tmp_path: Path, render: Render) -> None:
    """The control device and that of each GPU, by the driver's own numbers; the daemon itself may not."""
    unit = render("nvidia", "persistenced.conf.j2")
    (line,) = re.findall(r"^ExecStartPre=\+(.*-c 255.*)$", unit, re.MULTILINE)
    for slot, minor in (("0000:3b:00.0", 0), ("0000:af:00.0", 1)):
        gpu = tmp_path / "gpus" / slot
        gpu.mkdir(parents=True)
        (gpu / "information").write_text(
            f"Model: \t\t Tesla T4\nDevice Minor: \t {minor}\nGPU Excluded:\t No\n"
        )
    (tmp_path / "nvidia-modprobe").write_text('#!/bin/sh\necho "$@"\n')
    (tmp_path / "nvidia-modprobe").chmod(0o755)
    argv = shlex.split(line.replace("$$", "$").replace("/proc/driver/nvidia", str(tmp_path)))
    made = subprocess.run(
        argv,
        env={"PATH": f"{tmp_path}:{os.environ['PATH']}"},
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout.split() == ["-c", "255", "-c", "0", "-c", "1"]
