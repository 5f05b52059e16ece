"""The machine's mirrors are read from both styles of apt configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.lab.apt_sources import Mirrors, choose, entries, machine_mirrors

if TYPE_CHECKING:
    from pathlib import Path

DEB822 = """\
# the archive
Types: deb deb-src
URIs: http://mirror.example/debian/
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

Types: deb
URIs: http://mirror.example/debian-security
Suites: bookworm-security
Components: main

Types: deb
URIs: http://off.example/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://source.example/debian
Suites: bookworm
"""

ONE_LINE = """\
# deb http://old.example/debian bookworm main
deb [arch=amd64 signed-by=/usr/share/keyrings/x.gpg] https://mirror.example/debian bookworm main contrib
deb-src https://mirror.example/debian bookworm main
deb https://tools.example/apt stable main
"""


def test_deb822_paragraphs_give_each_uri_with_each_suite() -> None:
    assert entries(DEB822) == [
        ("http://mirror.example/debian/", "bookworm"),
        ("http://mirror.example/debian/", "bookworm-updates"),
        ("http://mirror.example/debian-security", "bookworm-security"),
    ]


def test_one_line_sources_with_and_without_options() -> None:
    assert entries(ONE_LINE) == [
        ("https://mirror.example/debian", "bookworm"),
        ("https://tools.example/apt", "stable"),
    ]


def test_other_repositories_are_not_taken_for_debian() -> None:
    assert choose(entries(ONE_LINE), "bookworm") == Mirrors("https://mirror.example/debian", None)
    assert choose([("https://tools.example/apt", "stable")], "bookworm") is None


def test_sources_of_another_release_on_the_same_mirror() -> None:
    mirrors = choose(entries(DEB822), "bookworm")
    assert mirrors is not None
    assert mirrors.sources("trixie") == [
        "deb http://mirror.example/debian trixie main",
        "deb http://mirror.example/debian trixie-updates main",
        "deb http://mirror.example/debian-security trixie-security main",
    ]


def test_local_media_are_no_mirror() -> None:
    assert choose([("cdrom:[Debian]/", "bookworm"), ("file:/srv/debian", "bookworm")], "bookworm") is None


def test_a_machine_without_debian_sources_is_told_where_to_add_one(tmp_path: Path) -> None:
    (tmp_path / "etc/apt/sources.list.d").mkdir(parents=True)
    (tmp_path / "etc/os-release").write_text('ID=debian\nVERSION_CODENAME="bookworm"\n')
    with pytest.raises(OperatorError, match=r"Debian bookworm in /etc/apt/sources\.list"):
        machine_mirrors(tmp_path)
    (tmp_path / "etc/apt/sources.list.d/debian.sources").write_text(DEB822)
    assert machine_mirrors(tmp_path).main == "http://mirror.example/debian"
