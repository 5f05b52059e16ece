"""The control service's unit and those that rotate keys: what they may touch, and when they run."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from appliance.cli.secrets import GROUPS
from appliance.secrets.rotating import ROTATING
from appliance.secrets.schedule import TIMERS as SECRET_TIMERS
from appliance.settings import Settings
from tests.unit.roles.conftest import Render

EXPOSURE = {
    "appliance-control.service": 1.5,
    "appliance-rotate-content-keys.service": 1.5,
    "appliance-rotate-content-key@.service": 1.5,
    "appliance-rotate-master-key.service": 2.5,
    "appliance-rotate@.service": 2.7,
}
CONTROL = Path(__file__).resolve().parents[3] / "roles/control"
ROTATED = ("content_keys", "master_key", "view_token_keys", "webhook_secret", "internal_secrets")


TIMERS = {
    "appliance-rotate-content-keys.timer": None,
    "appliance-rotate-master-key.timer": None,
    "appliance-rotate-view-token-keys.timer": "appliance-rotate@view-token-keys.service",
    "appliance-rotate-webhook-secret.timer": "appliance-rotate@webhook-secret.service",
    "appliance-rotate-internal-secrets.timer": "appliance-rotate@internal.service",
}


def entry(timer: str, calendar: str = "daily") -> dict[str, Any]:
    """Return how the role writes a timer that an inventory gives a time of its own."""
    loader = DataLoader()
    known = {f"control_rotate_{name}": "yearly" for name in ROTATED}
    variable = Path(timer).stem.removeprefix("appliance-rotate-").replace("-", "_")
    known |= loader.load_from_file(str(CONTROL / "vars/main.yml"), trusted_as_template=True)
    known |= {f"control_rotate_{variable}": calendar}
    files = Templar(loader=loader, variables=known).template(trust_as_template("{{ _control_timer_files }}"))
    [found] = [file for file in files if file["dest"] == f"/etc/systemd/system/{timer}"]
    return dict(found)


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
    file = tmp_path / name.replace("@.", "@any.")
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
    assert rotate.endswith("secrets rotate master-key")
    assert purge.endswith("keys purge --yes")
    assert values(unit, "ReadWritePaths") == ["/etc/appliance/credentials"]
    # their secrets are in no argument, and nobody is asked
    assert values(unit, "Environment") == []


@pytest.mark.parametrize("timer", TIMERS)
@pytest.mark.parametrize("calendar", ["daily", "Sun *-*-* 04:30:00 UTC", ""])
def test_a_timer_has_its_time(
    *, render: Render, analyze: str, timer: str, calendar: str, tmp_path: Path
) -> None:
    started, written = TIMERS[timer], entry(timer, calendar)
    assert "systemd-analyze verify" in written["validate"]
    unit = render("control", written["template"], **written["vars"])
    [seen] = values(unit, "OnCalendar")
    assert seen == (calendar or "weekly")
    subprocess.run([analyze, "calendar", seen], check=True, capture_output=True)
    # without Unit= the service of the same name is the one that it starts
    assert values(unit, "Unit") == ([started] if started else [])
    service = started or Path(timer).stem + ".service"
    (tmp_path / service).write_text("[Service]\nType=oneshot\nExecStart=/bin/true\n")
    (tmp_path / timer).write_text(unit)
    done = subprocess.run(
        [analyze, "verify", "--man=no", str(tmp_path / timer)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("timer", TIMERS)
def test_only_the_rare_ones_are_made_up_for(render: Render, timer: str) -> None:
    written = entry(timer)
    unit = render("control", written["template"], **written["vars"])
    assert values(unit, "Persistent") == ([] if "content-keys" in timer else ["yes"])


def test_what_a_timer_starts_is_a_name_that_the_command_knows(render: Render) -> None:
    unit = render("control", "appliance-rotate@.service.j2")
    assert values(unit, "ExecStart")[0].endswith("appliance secrets rotate %i")
    for started in TIMERS.values():
        if started:
            name = started.removeprefix("appliance-rotate@").removesuffix(".service")
            assert name in {*ROTATING, *GROUPS}
    # every secret that is rotated by a timer has one that the role writes, and keeps
    rotations = yaml.safe_load((CONTROL / "vars/main.yml").read_text())["_control_rotations"]
    written = {f"appliance-rotate-{rotation['name']}.timer" for rotation in rotations}
    assert set(SECRET_TIMERS.values()) == set(TIMERS) == written


def test_settings_are_written_and_judged_before_the_secrets_whose_task_is_silent() -> None:
    """A setting that an upgrade forbids is named, and the grace is that of the settings just written."""
    write, make, end = yaml.safe_load((CONTROL / "tasks/configure.yml").read_text())
    assert any("check-config" in file.get("validate", "") for file in write["vars"]["__control_fixed_files"])
    assert make["no_log"]
    assert "stderr" in end["ansible.builtin.assert"]["fail_msg"]
    assert "no_log" not in end
    assert not any("--settings" in word for word in make["ansible.builtin.command"]["argv"])
    [grace] = [word for word in make["ansible.builtin.command"]["argv"] if "grace" in word]
    for chosen, seconds in ({}, 604_800), ({"webhook_secret_grace_seconds": 90}, 90):
        templar = Templar(loader=DataLoader(), variables={"control_settings": chosen})
        assert templar.template(trust_as_template(grace)) == f"--webhook-grace-seconds={seconds}"
    assert Settings().webhook_secret_grace_seconds == 604_800


def test_the_audit_log_loses_no_line_to_a_rate(render: Render) -> None:
    assert values(render("control", "appliance-control.service.j2"), "LogRateLimitIntervalSec") == ["0"]


def test_every_setting_that_a_variable_decides_is_refused_elsewhere() -> None:
    owned = yaml.safe_load((CONTROL / "vars/main.yml").read_text())["_control_owned_settings"]
    limits = yaml.safe_load((CONTROL / "meta/limits.yml").read_text())
    [limit] = [limit for limit in limits if limit.get("of") == ["control_settings"]]
    assert re.findall(r"'(\w+)'", limit["that"])[1:] == sorted(owned)
    assert all(name in limit["allowed"] for name in owned)


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ({"inventory_hostname": "origin", "ansible_host": "192.0.2.7"}, "https://192.0.2.7:8443"),
        ({"inventory_hostname": "origin1.example.net"}, "https://origin1.example.net:8443"),
        ({"inventory_hostname": "my_host", "delivery_https_port": 443}, "https://my_host"),
        ({"ansible_host": "2001:db8::7"}, "https://[2001:db8::7]:8443"),
        ({"ansible_host": "192.0.2.7", "delivery_tls": False}, "http://192.0.2.7:8080"),
        ({"inventory_hostname": "localhost"}, "https://localhost:8443"),
        ({"ansible_host": "192.0.2.7", "delivery_url": "https://live.example"}, "https://live.example"),
    ],
)
def test_commands_print_the_address_that_viewers_know(render: Render, host: dict[str, Any], url: str) -> None:
    text = render("control", "appliance.yml.j2", **host)
    assert Settings.from_mapping(yaml.safe_load(text)).delivery_url == url
