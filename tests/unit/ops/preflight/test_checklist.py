"""The checklist as Ansible goes through it: templates, vaults and defaults worked out, findings accepted."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from appliance.errors import OperatorError
from appliance.health.finding import Severity
from appliance.ops.doctor.table import CHECKLIST
from appliance.ops.preflight.inventory import Inventory, ask_inventory
from appliance.ops.preflight.table import OF_HOSTS, OF_SITE

CHECKOUT = Path(__file__).resolve().parents[4]
SECRET = "q8Zr2mWc4Yt6Lp0Ks9Vb1Nx3"
VAULTED = "Zk3vT9wQ1sM7xC5nB2dF8gH4"


def write(folder: Path, hosts: dict[str, dict[str, Any]], monitors: list[str]) -> Path:
    """Write an inventory, in which the webhook's secret is another variable's value."""
    groups: dict[str, Any] = {"origins": {"hosts": hosts}, "build": {"hosts": dict.fromkeys(hosts)}}
    if monitors:
        groups["monitors"] = {"hosts": dict.fromkeys(monitors)}
    file = folder / "hosts.yml"
    file.write_text(yaml.safe_dump({"all": {"children": groups}}))
    return file


@pytest.fixture(scope="module")
def bad(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    """What is found where nothing was thought of, by Ansible's own way to the variables."""
    folder = tmp_path_factory.mktemp("bad")
    (folder / "group_vars").mkdir()
    (folder / "group_vars/all.yml").write_text(
        "control_allowed_stream_keys: \"{{ names_of_ours.split(',') }}\"\n"
        "names_of_ours: demo,x7\n"
        f"chosen_secret: {SECRET}\n"
        'control_webhook_secret: "{{ chosen_secret }}"\n'
    )
    (folder / "group_vars/all.yml").chmod(0o644)
    hosts: dict[str, dict[str, Any]] = {
        "o1": {"ansible_host": "8.8.8.8", "firewall_enabled": False},
        "o2": {"ansible_host": "10.0.0.2", "preflight_accepted": ["stream-keys", "viewers", "tls"]},
    }
    return ask_inventory(write(folder, hosts, []), None, ["preflight_refuses=critical"])


def names(findings: tuple[Any, ...]) -> list[str]:
    return [finding.check for finding in findings]


def test_findings_stand_with_their_host_and_the_site_once(bad: Inventory) -> None:
    assert names(bad.site) == ["monitoring", "backup"]  # the group state is empty, as each origin has its own
    assert names(bad.hosts["o1"]) == [
        *("stream-keys", "plain-secrets", "firewall-on"),
        *("viewers", "rtmp", "tls"),
    ]


def test_templates_are_worked_out(bad: Inventory) -> None:
    [keys] = [finding for finding in bad.hosts["o1"] if finding.check == "stream-keys"]
    assert keys.seen == "control_allowed_stream_keys has demo"


def test_a_secret_in_plain_is_found_behind_a_template(bad: Inventory) -> None:
    [plain] = [finding for finding in bad.hosts["o1"] if finding.check == "plain-secrets"]
    assert plain.what == "control_webhook_secret stands in plain in the inventory"
    assert SECRET not in str(plain.described())


def test_what_is_meant_so_is_left_out(bad: Inventory) -> None:
    assert names(bad.hosts["o2"]) == ["plain-secrets"]
    assert bad.accepted == {"o1": frozenset(), "o2": {"stream-keys", "viewers", "tls"}}


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An inventory that is ready; its secret is in a vault."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "password").write_text("opens it\n")
    vaulted = subprocess.run(
        [
            *(str(Path(sys.executable).with_name("ansible-vault")), "encrypt_string", VAULTED),
            *("--name", "control_webhook_secret", "--vault-password-file", str(folder / "password")),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    (folder / "inventory/group_vars").mkdir(parents=True)
    (folder / "inventory/group_vars/all.yml").write_text(
        f"{vaulted.stdout}\n"
        "control_http_callback_url: https://backend.example\n"
        "control_settings: {view_policy: token}\n"
        "delivery_tls_certificate: /etc/ssl/site.pem\n"
        "delivery_tls_key: /etc/ssl/site.key\n"
        "monitoring_alert_mail_to: ops@example.net\n"
        "monitoring_alert_mail_from: site@example.net\n"
        "preflight_accepted: [backup]\n"
    )
    write(folder / "inventory", {"o1": {"ansible_host": "10.0.0.1"}}, ["o1"])
    return folder


def test_an_inventory_that_is_ready_has_no_finding(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(good / "password"))
    found = ask_inventory(good / "inventory", None)
    assert (found.site, found.hosts) == ((), {"o1": ()})


def test_a_vault_that_does_not_open_is_said(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (good / "other").write_text("opens nothing\n")
    monkeypatch.setenv("ANSIBLE_VAULT_PASSWORD_FILE", str(good / "other"))
    with pytest.raises(OperatorError) as raised:
        ask_inventory(good / "inventory", None)
    assert "cannot be read" in str(raised.value)
    assert VAULTED not in str(raised.value)


@pytest.mark.parametrize(
    ("quiet", "refuses", "status", "printed"),
    [
        (True, "critical", 2, "o1: CRITICAL the firewall is off: firewall_enabled is false"),
        (False, "nothing", 0, "  CRITICAL the firewall is off\n    seen: firewall_enabled is false"),
        (True, "nothing", 0, ""),
    ],
)
def test_a_run_of_the_playbook(tmp_path: Path, quiet: bool, refuses: str, status: int, printed: str) -> None:
    host: dict[str, Any] = {"ansible_host": "10.0.0.1", "firewall_enabled": False}
    file = write(tmp_path, {"o1": {**host, "preflight_refuses": refuses}}, [])
    # As site.yml imports preflight.yml, and that the checklist.
    inner, outer = tmp_path / "inner.yml", tmp_path / "outer.yml"
    imported: dict[str, Any] = {"ansible.builtin.import_playbook": str(CHECKOUT / "playbooks/checklist.yml")}
    inner.write_text(yaml.safe_dump([imported]))
    imports = yaml.safe_load((CHECKOUT / "playbooks/site.yml").read_text())[0]
    imports["ansible.builtin.import_playbook"] = str(inner)
    if not quiet:
        del imports["vars"]
    outer.write_text(yaml.safe_dump([imports]))
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(file), str(outer)],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == status, done.stdout + done.stderr
    assert printed in done.stdout
    assert ("firewall is off" in done.stdout) == bool(printed)


def test_a_host_that_cannot_be_reached_keeps_nobody_from_reading_the_findings(tmp_path: Path) -> None:
    nobody = {"ansible_host": "127.0.0.1", "ansible_port": 9, "ansible_ssh_common_args": "-F none"}
    file = write(tmp_path, {"o1": {**nobody, "firewall_enabled": False}}, [])
    done = subprocess.run(
        [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(file), "playbooks/preflight.yml"],
        cwd=CHECKOUT,
        env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_NOCOLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 4, done.stdout + done.stderr  # unreachable
    assert "UNREACHABLE!" in done.stdout
    assert "  CRITICAL the firewall is off\n    seen: firewall_enabled is false" in done.stdout


def test_the_inventory_that_is_shipped_as_a_start_has_nothing_critical() -> None:
    found = ask_inventory(CHECKOUT / "inventory/fleet.example", None)
    findings = [*found.site, *(one for of_host in found.hosts.values() for one in of_host)]
    critical = {one.what for one in findings if one.severity is Severity.CRITICAL}
    assert critical <= {"the host's name does not resolve"}, "that is the one to put in"


def test_what_can_be_accepted_is_what_is_asked() -> None:
    options = yaml.safe_load((CHECKOUT / "roles/preflight/meta/argument_specs.yml").read_text())
    choices = options["argument_specs"]["main"]["options"]["preflight_accepted"]["choices"]
    asked = [question.name for question in (*OF_HOSTS, *OF_SITE)] + [check.name for check in CHECKLIST]
    assert choices == list(dict.fromkeys(asked))


def test_an_answer_that_is_none_is_said(tmp_path: Path) -> None:
    file = tmp_path / "hosts.yml"
    file.write_text(json.dumps({"all": {"hosts": {}}}))
    with pytest.raises(OperatorError, match="cannot be read"):
        ask_inventory(file, None)
