"""What is installed can do what is asked of it, and nothing more is installed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"

NGINX_MODULES = [
    "http_ssl_module", "http_v2_module", "http_realip_module", "http_stub_status_module",
    "http_auth_request_module", "http_secure_link_module", "http_slice_module", "threads", "stream",
    "stream_ssl_module",
]  # fmt: skip


def test_ffmpeg_has_what_the_ladder_uses_and_encodes(host: Any) -> None:
    role = ROLES / "ffmpeg"
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    wanted = [f"{kind}/{name}" for kind, names in defaults["ffmpeg_capabilities"].items() for name in names]
    trial = (role / "files" / "package" / "trial").read_text()
    done = host.run("sh -c %s trial works ffmpeg " + " ".join(wanted), trial)
    assert done.rc == 0, done.stdout


def test_nginx_has_its_modules(host: Any) -> None:
    said = host.run("/usr/sbin/nginx -V").stderr
    assert [name for name in NGINX_MODULES if f"--with-{name}" not in said.split()] == []
    assert "rtmp" in said
    assert host.package("appliance-nginx").is_installed


def test_nginx_is_hardened(host: Any) -> None:
    said = host.run("/usr/sbin/nginx -V").stderr
    for flag in ("-fstack-protector-strong", "-D_FORTIFY_SOURCE=", "-Wl,-z,relro", "-Wl,-z,now"):
        assert flag in said


@pytest.mark.parametrize("program", ["gcc", "cc", "g++", "clang", "make", "dpkg-buildpackage"])
def test_no_compiler_stays(host: Any, program: str) -> None:
    assert not host.exists(program)


def test_the_appliance_command_is_on_the_path(host: Any) -> None:
    assert host.run("sh -c 'command -v appliance'").stdout.strip() == "/usr/local/bin/appliance"
    assert host.run("appliance --version").rc == 0


def test_ladders_and_settings_are_accepted(host: Any) -> None:
    assert host.run("appliance control check-config /etc/appliance/appliance.yml").rc == 0
    assert host.file("/etc/appliance/ladders/default.yml").mode == 0o644


def test_kernel_is_as_written(host: Any) -> None:
    """Every key of our sysctl files has its value, unless the kernel does not let this machine set it."""
    files = [
        path
        for path in host.check_output("ls /etc/sysctl.d").split()
        if "appliance" in path and path.endswith(".conf")
    ]
    assert files
    different = []
    for name in files:
        for line in host.file(f"/etc/sysctl.d/{name}").content_string.splitlines():
            found = re.match(r"^-?([a-z0-9_./-]+)\s*=\s*(.+)$", line)
            if not found:
                continue
            path = f"/proc/sys/{found[1].replace('.', '/')}"
            if host.run("test -w %s", path).rc == 0:
                seen = host.file(path).content_string.split()
                if seen != found[2].split():
                    different.append((found[1], found[2], " ".join(seen)))
    assert different == []


def test_media_lives_in_bounded_memory(host: Any) -> None:
    mount = host.mount_point("/srv/hls")
    assert mount.exists
    assert mount.filesystem == "tmpfs"
    for option in ("nosuid", "nodev", "noexec"):
        assert option in mount.options
    assert any(option.startswith("size=") for option in mount.options)
    folder = host.file("/srv/hls")
    assert (folder.user, folder.group) == ("appliance-stream", "appliance-media")
    assert folder.mode & 0o007 == 0


def test_time_and_security_upgrades_are_looked_after(
    host: Any, properties: Callable[[str], dict[str, str]]
) -> None:
    assert host.package("unattended-upgrades").is_installed
    assert properties("apt-daily-upgrade.timer")["ActiveState"] == "active"
