"""The unit as the role writes it: how much it is exposed, by systemd's own measure."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

ROLE = Path(__file__).resolve().parents[3] / "roles" / "control"

# In tenths: 1.5 of 10 (systemd-analyze(1), "security").
THRESHOLD = "15"


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not installed")
def test_the_exposure_stays_within_its_bound(tmp_path: Path) -> None:
    variables: dict[str, object] = {}
    for file in ("defaults/main.yml", "vars/main.yml", "../origin/defaults/main.yml"):
        variables |= yaml.safe_load((ROLE / file).read_text())
    variables["_control_venv"] = "/opt/appliance/venv"
    environment = Environment(
        loader=FileSystemLoader(ROLE / "templates"),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=select_autoescape(),
    )
    unit = tmp_path / "appliance-control.service"
    unit.write_text(environment.get_template("appliance-control.service.j2").render(variables))
    done = subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={THRESHOLD}",
            "--no-pager",
            str(unit),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
