"""The control service's unit and those that rotate keys: what they may touch, and when they run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.unit.roles.conftest import Render

EXPOSURE = {
    "appliance-control.service": 1.5,
    "appliance-rotate-content-keys.service": 1.5,
    "appliance-rotate-master-key.service": 2.5,
}
TIMERS = {
    "appliance-rotate-content-keys.timer": "control_rotate_content_keys",
    "appliance-rotate-master-key.timer": "control_rotate_master_key",
}


def values(unit: str, key: str) -> list[str]:
    """Return the values of a directive, in order."""
    return re.findall(rf"^{key}=(.*)$", unit, re.MULTILINE)


@pytest.fixture
def analyze() -> str:
    """Return systemd-analyze, or skip."""
    found = shutil.which("systemd-analyze")
    if found is None:
        pytest.skip("no systemd on this machine: `files/bootstrap.sh lab` installs it")
    return found


@pytest.mark.parametrize("name", EXPOSURE)
def test_is_confined(render: Render, analyze: str, name: str, tmp_path: Path) -> None:
    """`systemd-analyze security`, without a running systemd."""
    file = tmp_path / name
    unit = render("control", f"{name}.j2")
    # where this machine has no such program, the analysis stops before it begins
    file.write_text(re.sub(r"(?m)^(Exec\w+)=.*$", r"\1=/bin/true", unit))
    command = [analyze, "security", "--no-pager", "--offline=true", f"--threshold={EXPOSURE[name] * 10:.0f}"]
    done = subprocess.run([*command, str(file)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_service_reads_the_streams_files_and_writes_none(render: Render) -> None:
    unit = render("control", "appliance-control.service.j2")
    assert "appliance-media" in values(unit, "SupplementaryGroups")[0].split()
    assert values(unit, "ProtectSystem") == ["strict"]
    assert values(unit, "ReadWritePaths") == []
    assert values(unit, "InaccessiblePaths") == ["-/etc/appliance/credentials"]


def test_only_a_backend_opens_the_way_out_of_the_host(render: Render) -> None:
    unit = render("control", "appliance-control.service.j2")
    assert values(unit, "IPAddressDeny") == ["any"]
    assert values(unit, "IPAddressAllow") == ["localhost"]
    opened = render(
        "control", "appliance-control.service.j2", control_http_callback_url="https://backend.example/hooks"
    )
    assert values(opened, "IPAddressAllow") == ["any"]
    # where it is, is a setting, and nothing else of the unit changes
    assert "backend.example" not in opened
    directives = [[line for line in text.splitlines() if "=" in line] for text in (unit, opened)]
    assert set(directives[1]) - set(directives[0]) == {"IPAddressAllow=any"}
    assert set(directives[0]) - set(directives[1]) == {"IPAddressAllow=localhost"}


def test_new_content_keys_need_no_secret(render: Render) -> None:
    unit = render("control", "appliance-rotate-content-keys.service.j2")
    assert values(unit, "User") == ["appliance-stream"]
    assert values(unit, "CapabilityBoundingSet") == [""]
    assert "-/etc/appliance/credentials" in values(unit, "InaccessiblePaths")[0].split()
    assert values(unit, "LoadCredential") == []


def test_a_new_master_key_comes_before_old_ones_go(render: Render) -> None:
    unit = render("control", "appliance-rotate-master-key.service.j2")
    rotate, purge = values(unit, "ExecStart")
    assert rotate.endswith("keys rotate --master")
    assert purge.endswith("keys purge --yes")
    assert values(unit, "ReadWritePaths") == ["/etc/appliance/credentials"]
    # their secrets are in no argument, and nobody is asked
    assert values(unit, "Environment") == []


@pytest.mark.parametrize(("timer", "variable"), TIMERS.items())
@pytest.mark.parametrize("calendar", ["daily", "Sun *-*-* 04:30:00 UTC", ""])
def test_a_timer_has_its_time(
    *, render: Render, analyze: str, timer: str, variable: str, calendar: str, tmp_path: Path
) -> None:
    unit = render("control", f"{timer}.j2", **{variable: calendar})
    [seen] = values(unit, "OnCalendar")
    assert seen == (calendar or "weekly")
    subprocess.run([analyze, "calendar", seen], check=True, capture_output=True)
    # the service of the same name is the one that it starts
    service = Path(timer).stem + ".service"
    (tmp_path / service).write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    (tmp_path / timer).write_text(unit)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / timer)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_only_the_rare_one_is_made_up_for(render: Render) -> None:
    assert values(render("control", "appliance-rotate-master-key.timer.j2"), "Persistent") == ["yes"]
    assert values(render("control", "appliance-rotate-content-keys.timer.j2"), "Persistent") == []
