"""When a unit of nginx is restarted: a replaced binary, a younger file, and nobody publishing."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from appliance.provision.modules import nginx_unit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

RUNNING = """\
LoadState=loaded
ActiveState=active
UnitFileState=enabled
NeedDaemonReload=no
MainPID=4711
ExecMainStartTimestamp=Sun 2026-11-22 19:38:32.250000 UTC
"""
STATISTICS = b"""<?xml version="1.0" encoding="utf-8" ?><rtmp><server><application><name>live</name><live>
<stream><name>waiting</name><client><id>1</id><address>127.0.0.1</address></client><nclients>1</nclients></stream>
<stream><name>demo</name><client><id>2</id><publishing/><active/></client><publishing/><active/></stream>
</live></application></server></rtmp>"""


def test_what_systemd_prints_is_understood() -> None:
    unit = nginx_unit.parse_unit(RUNNING)
    assert unit == nginx_unit.Unit(True, True, True, False, 4711, 1795376312.25)
    absent = nginx_unit.parse_unit(
        "LoadState=not-found\nActiveState=inactive\nMainPID=0\nExecMainStartTimestamp=\n"
    )
    assert (absent.loaded, absent.active, absent.enabled, absent.started) == (False, False, False, 0.0)


@pytest.fixture
def running(tmp_path: Path) -> Iterator[tuple[Path, nginx_unit.Unit]]:
    """Give a program of its own file that runs, and the unit it stands for."""
    program = tmp_path / "program"
    shutil.copy2("/bin/sleep", program)
    with subprocess.Popen([program, "60"]) as process:
        yield program, nginx_unit.Unit(True, True, True, False, process.pid, 1000.0)
        process.kill()


def test_a_process_of_the_installed_binary_is_left_alone(
    running: tuple[Path, nginx_unit.Unit], tmp_path: Path
) -> None:
    older = tmp_path / "older.conf"
    older.touch()
    os.utime(older, (999.0, 999.0))
    assert nginx_unit.stale(running[1], [str(older)]) == []


def test_a_replaced_binary_and_a_younger_file_are_reasons(
    running: tuple[Path, nginx_unit.Unit], tmp_path: Path
) -> None:
    program, unit = running
    shutil.copy2("/bin/sleep", tmp_path / "new")
    (tmp_path / "new").rename(program)  # as dpkg does
    younger = tmp_path / "younger.conf"
    younger.touch()
    assert nginx_unit.stale(unit, [str(younger)]) == [
        "the nginx binary was replaced",
        f"{younger} is younger than the process",
    ]


def test_only_streams_with_a_publisher_count() -> None:
    assert nginx_unit.publishing(STATISTICS) == ["demo"]


def test_unknown_publishers_count_as_publishers(free_port: int) -> None:
    url = f"http://127.0.0.1:{free_port}/stat"
    assert "cannot be told" in nginx_unit.publishers_or_reason(url)
    assert nginx_unit.publishers_or_reason("") == ""
