"""The files of a host."""

from __future__ import annotations

from ipaddress import IPv4Network
from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.lab import disk, guest
from appliance.lab.state import HostState

if TYPE_CHECKING:
    from pathlib import Path


def host(name: str, address: str, port: int = 22) -> HostState:
    return HostState(name=name, index=1, address=address, port=port)


def test_the_resolver_is_the_machines_without_its_loopback_servers(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# by hand\nnameserver 127.0.0.53\nnameserver 192.0.2.53\nsearch example\n")
    assert guest.resolver([file]) == "nameserver 192.0.2.53\nsearch example\n"


def test_behind_a_stub_the_real_servers_are_taken(tmp_path: Path) -> None:
    stub, real = tmp_path / "stub", tmp_path / "real"
    stub.write_text("nameserver 127.0.0.53\noptions edns0\n")
    real.write_text("nameserver 192.0.2.53\n")
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert guest.resolver([tmp_path / "dangling", stub, real]) == "nameserver 192.0.2.53\n"


def test_a_resolver_only_the_machine_reaches_is_refused(tmp_path: Path) -> None:
    stub = tmp_path / "stub"
    stub.write_text("nameserver ::1\nnameserver 127.0.0.1\n")
    with pytest.raises(OperatorError, match="loopback only"):
        guest.resolver([stub])


def test_hosts_of_a_lab_know_each_other_by_name() -> None:
    hosts = {"b": host("b", "10.200.0.12"), "a": host("a", "10.200.0.11")}
    text = guest.hosts_file("a", hosts)
    assert text.endswith("10.200.0.11 a\n10.200.0.12 b\n")
    assert "127.0.1.1" not in text


def test_behind_user_networking_a_host_knows_itself_only() -> None:
    hosts = {"b": host("b", "127.0.0.1", 2022), "a": host("a", "127.0.0.1", 2023)}
    assert guest.hosts_file("a", hosts).endswith("127.0.1.1 a\n")


def test_a_static_address() -> None:
    text = guest.network_file("Name=host0", "10.200.0.11", IPv4Network("10.200.0.0/24"), "10.200.0.1")
    assert "[Match]\nName=host0\n" in text
    assert "Address=10.200.0.11/24\nGateway=10.200.0.1\n" in text


def test_a_dangling_link_in_the_image_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "etc").mkdir()
    (tmp_path / "etc/resolv.conf").symlink_to("../run/systemd/resolve/stub-resolv.conf")
    guest.write(tmp_path, {"etc/resolv.conf": ("nameserver 192.0.2.53\n", 0o644)})
    assert not (tmp_path / "etc/resolv.conf").is_symlink()
    assert (tmp_path / "etc/resolv.conf").read_text() == "nameserver 192.0.2.53\n"


def test_private_files_are_never_readable_by_others(tmp_path: Path) -> None:
    guest.write(tmp_path, {"root/.ssh/authorized_keys": ("key\n", 0o600)})
    assert (tmp_path / "root/.ssh").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "root/.ssh/authorized_keys").stat().st_mode & 0o777 == 0o600


def test_debugfs_is_told_mode_and_owner_of_each_file() -> None:
    text = disk.script({"root/.ssh/authorized_keys": ("key\n", 0o600)}, {"root/.ssh/authorized_keys": "0"})
    assert text.splitlines() == [
        "mkdir /root",
        "mkdir /root/.ssh",
        "sif /root/.ssh mode 040700",
        "rm /root/.ssh/authorized_keys",
        "write 0 /root/.ssh/authorized_keys",
        "sif /root/.ssh/authorized_keys mode 0100600",
        "sif /root/.ssh/authorized_keys uid 0",
        "sif /root/.ssh/authorized_keys gid 0",
    ]
