"""What the role nvidia sees of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.provision.modules.host_ready import nvidia_gpus
from appliance.provision.modules.nvidia_host import (
    archives,
    available_versions,
    flavour,
    generation,
    kernels,
    loaded_driver,
    secure_boot,
)

if TYPE_CHECKING:
    from pathlib import Path


class Says:
    """Ansible's module, whose commands print `text`."""

    def __init__(self, text: str) -> None:
        self._text = text

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        assert argv
        return 0, self._text, ""


@pytest.mark.parametrize(
    ("device", "name"),
    [
        ("10de:0fc6", "before Maxwell"),  # GTX 650
        ("10de:13f2", "Maxwell"),  # Tesla M60
        ("10de:1bb3", "Pascal"),  # Tesla P4
        ("10de:15f8", "Pascal"),  # Tesla P100
        ("10de:1db4", "Volta"),  # Tesla V100
        ("10de:1eb8", "Turing"),  # Tesla T4
        ("10de:2184", "Turing"),  # GTX 1660
        ("10de:20b5", "Ampere"),  # A100
        ("10de:2236", "Ampere"),  # A10
        ("10de:25b6", "Ampere"),  # A2
        ("10de:27b8", "Ada"),  # L4
        ("10de:2684", "Ada"),  # RTX 4090
        ("10de:2335", "Hopper"),  # H200
        ("10de:2901", "Blackwell"),  # B200
        ("10de:2b85", "Blackwell"),  # RTX 5090
        ("10de:ffff", "unknown"),
    ],
)
def test_the_generation_of_a_gpu_is_known_by_its_id(device: str, name: str) -> None:
    assert generation(device) == name


def test_gpus_are_found_and_other_devices_of_nvidia_are_not(tmp_path: Path) -> None:
    devices = {
        "0000:3b:00.0": ("0x10de", "0x030200", "0x1eb8"),
        "0000:00:02.0": ("0x8086", "0x030000", "0x3e92"),  # another maker's
        "0000:01:00.0": ("0x10de", "0x030000", "0x2684"),
        "0000:01:00.1": ("0x10de", "0x040300", "0x22ba"),  # its sound
    }
    for slot, values in devices.items():
        (tmp_path / slot).mkdir()
        for name, value in zip(("vendor", "class", "device"), values, strict=True):
            (tmp_path / slot / name).write_text(f"{value}\n")
    assert nvidia_gpus(tmp_path) == ["10de:2684", "10de:1eb8"]
    assert nvidia_gpus(tmp_path / "absent") == []


@pytest.mark.parametrize(
    ("release", "name"),
    [
        ("6.12.118+deb13-amd64", "amd64"),
        ("6.12.38+deb13+1-cloud-amd64", "cloud-amd64"),
        ("6.1.0-25-amd64", "amd64"),
        ("6.12.118+deb13-rt-amd64", "rt-amd64"),
        ("6.12.118+deb13-arm64", "arm64"),
        ("6.18.44-fc-v595", ""),
        ("6.8.0-49-generic", ""),
    ],
)
def test_the_flavour_of_a_kernel_names_its_headers(release: str, name: str) -> None:
    assert flavour(release) == name


def test_a_kernel_counts_when_its_headers_are_there(tmp_path: Path) -> None:
    for name in ("linux-headers-6.12.118+deb13-amd64", "linux-headers-6.12.118+deb13-common", "nvidia-x"):
        (tmp_path / name).mkdir()
    assert kernels(tmp_path) == ["6.12.118+deb13-amd64"]


@pytest.mark.parametrize(
    "text",
    [
        "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.163.01  Tue Apr  8 12:41:17 UTC 2025\n",
        "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  550.163.01  Release Build  (dvs-builder)\n",
    ],
)
def test_the_loaded_driver_says_its_version(tmp_path: Path, text: str) -> None:
    (tmp_path / "version").write_text(f"{text}GCC version:  gcc version 14.2.0 (Debian 14.2.0-19)\n")
    assert loaded_driver(tmp_path / "version") == "550.163.01"
    assert not loaded_driver(tmp_path / "absent")


def test_secure_boot_is_what_the_firmware_says(tmp_path: Path) -> None:
    variable = tmp_path / "SecureBoot"
    assert not secure_boot(variable)
    variable.write_bytes(b"\x06\x00\x00\x00\x01")
    assert secure_boot(variable)
    variable.write_bytes(b"\x06\x00\x00\x00\x00")
    assert not secure_boot(variable)


def test_the_driver_comes_from_where_the_host_has_debian_from() -> None:
    """A component that an administrator has already is not named twice: apt would warn at every run."""
    own = "/etc/apt/sources.list.d/appliance-nvidia.sources"
    module: Any = Says(
        "\n".join(
            [
                "http://mirror.example/debian|trixie|main|$(SIGNED_BY)|/etc/apt/sources.list:1|Debian",
                f"http://mirror.example/debian|trixie|non-free|$(SIGNED_BY)|{own}:1|Debian",
                "http://mirror.example/security|trixie-security|main|/k.pgp|/etc/apt/sources.list:5|Debian",
                "http://mirror.example/security|trixie-security|contrib|/k.pgp|/etc/apt/sources.list:5|Debian",
                "https://other.example|stable|main|$(SIGNED_BY)|/etc/apt/sources.list.d/o.list:1|Other",
            ]
        )
    )
    assert archives(module, own, ["contrib", "non-free"]) == [
        {
            "uri": "http://mirror.example/debian",
            "suite": "trixie",
            "signed_by": "",
            "components": ["contrib", "non-free"],
        },
        {
            "uri": "http://mirror.example/security",
            "suite": "trixie-security",
            "signed_by": "/k.pgp",
            "components": ["non-free"],
        },
    ]


def test_versions_of_the_archive_are_without_debians_revision() -> None:
    module: Any = Says(
        "  libcuda1 | 550.163.01-4~bpo13+1 | http://mirror.example trixie-backports/non-free amd64 Packages\n"
        "  libcuda1 | 550.163.01-2 | http://mirror.example trixie/non-free amd64 Packages\n"
        "  libcuda1 | 535.247.01-1 | http://mirror.example trixie/non-free amd64 Packages\n"
    )
    assert available_versions(module, "libcuda1") == ["550.163.01", "535.247.01"]
