"""What the role nvidia sees of a host."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from appliance.provision.modules.host_ready import nvidia_gpus
from appliance.provision.modules.nvidia_host import (
    archives,
    available_versions,
    brought,
    candidate,
    device_options,
    enrolled,
    flavour,
    generation,
    images,
    kernel_packages,
    kernels,
    loaded_driver,
    secure_boot,
)
from tests.support import rendering

if TYPE_CHECKING:
    from pathlib import Path


class Says:
    """Ansible's module, whose commands print `text`; of `programs`, by name, what each prints.

    As Ansible does, it ends when a program is to be run that is not there.
    """

    def __init__(self, text: str = "", **programs: str) -> None:
        self._text = text
        self._programs = programs

    def get_bin_path(self, name: str) -> str | None:
        return name if name in self._programs else None

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        name = argv[0].replace("-", "_")
        if self._programs and name not in self._programs:
            pytest.fail(f"{argv[0]}: no such program")
        return 0, self._programs.get(name, self._text), ""


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
        "".join(
            f"{row}|;\n"
            for row in [
                "Debian|/etc/apt/sources.list:1|http://mirror.example/debian|trixie|main|$(SIGNED_BY)",
                f"Debian|{own}:1|http://mirror.example/debian|trixie|non-free|$(SIGNED_BY)",
                "Debian|/etc/apt/sources.list:5|http://sec.example|trixie-security|main|/k.pgp",
                "Debian|/etc/apt/sources.list:5|http://sec.example|trixie-security|contrib|/k.pgp",
                "Other|/etc/apt/sources.list.d/o.list:1|https://other.example|stable|main|a|field|too|many",
                "$(ORIGIN)|/etc/apt/sources.list.d/l.list:1|file:/local/|./|$(COMPONENT)|$(SIGNED_BY)",
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
            "uri": "http://sec.example",
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


INLINE_KEY = """\
-----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 mDMEawjnFBYJKwYBBAHaRw8BAQdADEOwLGqyUQOqezmaVo5LaspC1/7leDyq2B+y
 =jiH2
 -----END PGP PUBLIC KEY BLOCK-----"""
"""As apt 3.0 prints it; 2.6 says nothing of it."""


def test_a_key_that_stands_in_a_source_stands_in_ours_too() -> None:
    """Apt refuses all sources of one archive, "Conflicting values set for option Signed-By", if one has none.

    Seen with apt 2.6 and a signed archive.
    """
    module: Any = Says(
        "Debian|/etc/apt/sources.list.d/debian.sources:1|http://mirror.example/debian/|trixie-updates|main|"
        "$(SIGNED_BY)|;\n"
        "Debian|/etc/apt/sources.list.d/debian.sources:2|http://mirror.example/debian/|trixie|main|"
        f"{INLINE_KEY}|;\n"
    )
    found = archives(module, "/own", ["non-free"])
    assert [source["suite"] for source in found] == ["trixie", "trixie-updates"]
    text = rendering.render("nvidia", "nvidia.sources.j2", __nvidia_host={"archives": found})
    assert f"Components: non-free\nSigned-By:\n {INLINE_KEY}\n\nTypes: deb" in text
    assert text.count("Signed-By") == 1


def test_the_candidate_is_what_apt_would_install() -> None:
    module: Any = Says("Package: libcuda1\nVersion: 550.163.01-2\nDepends: a\n")
    assert candidate(module, "libcuda1") == "550.163.01-2"
    assert candidate(Says(), "libcuda1") == ""


def test_the_headers_are_those_of_the_running_kernel() -> None:
    """Where the archive has none any more, a newer kernel has to be there to restart into."""
    release = "6.12.90+deb13-amd64"
    of_archive: Any = Says(apt_cache="Version: 6.12.90-1\n", dpkg_query="")
    assert kernel_packages(of_archive, release) == ["linux-headers-amd64", f"linux-headers-{release}"]
    of_host: Any = Says(apt_cache="", dpkg_query=f"installed linux-headers-{release} 6.12.90-1\n")
    assert kernel_packages(of_host, release) == ["linux-headers-amd64"]
    gone: Any = Says(apt_cache="", dpkg_query="")
    assert kernel_packages(gone, release) == ["linux-headers-amd64", "linux-image-amd64"]
    assert kernel_packages(gone, "6.18.44-fc-v595") == []


def test_kernels_to_start_with_are_in_boot(tmp_path: Path) -> None:
    for name in ("vmlinuz-6.12.90+deb13-amd64", "initrd.img-6.12.90+deb13-amd64", "config-x"):
        (tmp_path / name).touch()
    assert images(tmp_path) == ["6.12.90+deb13-amd64"]


def test_options_of_the_loaded_driver_are_read(tmp_path: Path) -> None:
    params = tmp_path / "params"
    assert device_options(params) == {}
    params.write_text("Mobile: 4294967295\nDeviceFileUID: 0\nDeviceFileGID: 44\nDeviceFileMode: 432\nX: 1\n")
    assert device_options(params) == {"uid": 0, "gid": 44, "mode": 0o660}


def test_no_key_is_enrolled_where_nobody_can_be_asked() -> None:
    """The role installs mokutil, which is not there at its first look."""
    assert not enrolled(Says(modinfo=""), "/key")
    assert enrolled(Says(mokutil="/key is already enrolled\n"), "/key")
    assert not enrolled(Says(mokutil="/key is not enrolled\n"), "/key")


def test_what_was_brought_is_noted_one_a_line(tmp_path: Path) -> None:
    record = tmp_path / "packages"
    assert brought(record) == []
    record.write_text("# a comment\ndkms\nmokutil\n")
    assert brought(record) == ["dkms", "mokutil"]
