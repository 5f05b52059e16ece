"""A host that is prepared for a GPU: the driver is there and its module built, and streams play without it.

Run by `make test-gpu` (molecule, scenario gpu) on a container, which has no GPU: that a module is loaded and
that NVENC encodes is not seen here, and has never been run on hardware.
"""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.support.waiting import until

MODULE = "nvidia-current"


@pytest.fixture(scope="module")
def kernel(host: Any) -> str:
    """Give the release of the kernel whose headers the host has."""
    names = host.check_output("ls -d /usr/src/linux-headers-*").split()
    (release,) = [
        name.rpartition("linux-headers-")[2] for name in names if not name.endswith(("-common", "-rt"))
    ]
    return str(release)


def test_the_module_is_built_for_debians_kernel(host: Any, kernel: str) -> None:
    told = host.check_output("modinfo -k %s %s", kernel, MODULE)
    fields = dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
    installed = host.package("libcuda1").version.partition("-")[0]
    assert fields["version"].strip() == installed
    assert fields["vermagic"].split()[0] == kernel
    assert fields["sig_key"].strip(), "DKMS signs it, so that Secure Boot can be taught to take it"


@pytest.mark.parametrize("option", ["blacklist nouveau", "NVreg_DeviceFileMode=0660"])
def test_the_kernel_is_told(host: Any, kernel: str, option: str) -> None:
    assert option in host.check_output("modprobe --showconfig --set-version %s", kernel)


def test_the_devices_are_the_streams_groups(host: Any) -> None:
    group = host.group("appliance-gpu").gid
    assert f"NVreg_DeviceFileGID={group}" in host.file("/etc/modprobe.d/appliance-nvidia.conf").content_string
    allowed = host.check_output("systemctl show --property=DeviceAllow,SupplementaryGroups stream@demo")
    assert "char-nvidia rw" in allowed
    assert "SupplementaryGroups=appliance-gpu" in allowed


def test_the_unit_that_makes_the_devices_is_one_that_systemd_takes(host: Any) -> None:
    told = host.run("systemd-analyze verify --man=no nvidia-persistenced.service")
    assert told.rc == 0
    assert "appliance.conf" not in told.stderr
    assert host.file("/usr/bin/nvidia-modprobe").is_executable
    made = host.check_output("systemctl show --property=ExecStartPre nvidia-persistenced.service")
    assert "nvidia-modprobe -c 255" in made


def test_nothing_of_x_is_installed(host: Any) -> None:
    form = "--showformat=${db:Status-Status} ${Package}\\n"
    lines = host.check_output("dpkg-query --show %s", form).splitlines()
    there = [name for status, name in (line.split() for line in lines) if status == "installed"]
    assert "libcuda1" in there
    assert not [
        name for name in there if name.startswith(("xserver-", "libgl1-nvidia")) or name == "nvidia-driver"
    ]


def test_no_upgrade_takes_the_driver_along(host: Any) -> None:
    """A pin above 1000 keeps the version, installed or not."""
    version = host.package("libcuda1").version.partition("-")[0]
    for package in ("libcuda1", "nvidia-smi", "nvidia-kernel-dkms", "nvidia-persistenced"):
        told = host.check_output("apt-cache policy %s", package)
        assert f"*** {version}-" in told
        assert " 1001" in told


def test_no_unit_fails_for_want_of_a_gpu(host: Any) -> None:
    assert not host.check_output("systemctl list-units --failed --plain --no-legend")


def test_a_stream_says_why_it_is_not_encoded_by_nvenc(host: Any) -> None:
    publisher = (
        "systemd-run --quiet --collect --unit=test-publisher ffmpeg -nostdin -loglevel error -re "
        "-f lavfi -i testsrc2=size=640x360:rate=30 -f lavfi -i sine -c:v libx264 -preset ultrafast "
        "-b:v 600k -maxrate 600k -bufsize 600k -g 60 -c:a aac -f flv rtmp://127.0.0.1/live/demo"
    )
    host.check_output(publisher)
    try:

        def encoder() -> dict[str, Any]:
            done = host.run("cat /srv/hls/demo/status.json")
            status = json.loads(done.stdout) if done.rc == 0 else {}
            return dict(status.get("encoder") or {}) if status.get("state") == "live" else {}

        until("the stream is live", lambda: bool(encoder()), 60)
        seen = encoder()
    finally:
        host.check_output("systemctl stop test-publisher")
    assert seen["family"] == "x264"
    assert "CUDA_ERROR_NO_DEVICE" in seen["reason"]
