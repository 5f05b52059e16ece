"""The RTMP nginx: its configuration is accepted, keeps keys out of logs, and its unit is closed."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Render


@pytest.mark.parametrize("ipv6", [True, False])
def test_nginx_accepts_the_configuration(
    render: Render, nginx: str, rtmp_preamble: str, tmp_path: Path, ipv6: bool
) -> None:
    configuration = tmp_path / "ingest.conf"
    configuration.write_text(rtmp_preamble + render("ingest", "ingest.conf.j2", ingest_ipv6=ipv6))
    command = [nginx, "-t", "-p", str(tmp_path), "-c", str(configuration)]
    done = subprocess.run(command, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_what_publishers_send_reaches_no_log(render: Render) -> None:
    lines = [line.strip() for line in render("ingest", "ingest.conf.j2").splitlines()]
    assert "error_log stderr warn;" in lines  # at info the module logs publish arguments
    assert lines.count("access_log off;") == 2  # rtmp (its default writes arguments to a file) and http


def test_the_rtmp_state_lives_in_one_worker(render: Render) -> None:
    text = render("ingest", "ingest.conf.j2")
    assert "worker_processes 1;" in text
    assert "exec" not in text
    assert "hls on" not in text
    assert "on_update" not in text  # kills publishers when the control service restarts


@pytest.mark.parametrize(
    ("role", "unit"), [("ingest", "appliance-ingest.service"), ("delivery", "appliance-delivery.service")]
)
def test_the_units_stay_closed(render: Render, tmp_path: Path, role: str, unit: str) -> None:
    (tmp_path / unit).write_text(render(role, f"{unit}.j2"))
    options = ["--offline=true", "--threshold=15", "--no-pager"]
    command = ["systemd-analyze", "security", *options, str(tmp_path / unit)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-400:] + done.stderr
