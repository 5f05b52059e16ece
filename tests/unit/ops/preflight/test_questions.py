"""The checklist's questions to an inventory: each with the fault, and without it."""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import pytest

from appliance.health.finding import Finding, Severity
from appliance.ops.preflight.planned import InventoryFile, Planned, inventory_files
from appliance.ops.preflight.table import OF_HOSTS, OF_SITE, answers

ADDRESSES = {"public.example": "8.8.8.8", "private.example": "10.0.0.5", "8.8.8.8": "8.8.8.8"}
LADDER = Path(__file__).resolve().parents[4] / "files/ladders/default.yml"
SECRET = "q8Zr2mWc4Yt6Lp0Ks9Vb1Nx3"

# A site that is ready, with one origin; each case changes something.
GOOD: dict[str, Any] = {
    "ansible_host": "private.example",
    "base_security_upgrades": True,
    "control_allowed_stream_keys": [],
    "control_hls_encryption_key": "",
    "control_http_callback_url": "https://backend.example",
    "control_rotate_content_keys": "hourly",
    "control_rotate_internal_secrets": "monthly",
    "control_rotate_master_key": "weekly",
    "control_rotate_view_token_keys": "monthly",
    "control_settings": {"view_policy": "token"},
    "control_webhook_secret": SECRET,
    "delivery_api_networks": ["127.0.0.0/8"],
    "delivery_operator_networks": ["127.0.0.0/8", "::1"],
    "delivery_tls": True,
    "delivery_tls_certificate": "/etc/ssl/site.pem",
    "delivery_view_auth": True,
    "delivery_worker_connections": 16384,
    "firewall_enabled": True,
    "ingest_rtmp_port": 1935,
    "ingest_worker_connections": 4096,
    "monitoring_alert_mail_to": "ops@example.net",
    "monitoring_enabled": True,
    "origin_ladders": [str(LADDER)],
    "origin_media_size": "2g",
    "tuning_open_files_soft": 65536,
    "tuning_sysctl_changes": {},
}
GROUPS = {"origins": ["o1"], "state": ["o1"], "monitors": ["o1"]}
W, C = Severity.WARNING, Severity.CRITICAL


@pytest.fixture(autouse=True)
def dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that resolve: no others do."""

    def getaddrinfo(host: str, port: object, *_: object, **__: object) -> list[Any]:
        if host not in ADDRESSES:
            raise socket.gaierror(-2, "Name or service not known")
        return [(2, 1, 6, "", (ADDRESSES[host], port))]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


def planned(
    groups: dict[str, list[str]] | None = None, files: tuple[InventoryFile, ...] = (), **changes: Any
) -> Planned:
    secrets = frozenset({"control_webhook_secret", "control_hls_encryption_key"})
    return Planned("o1", groups or GROUPS, {**GOOD, **changes}, secrets, files)


def found(one: Planned) -> list[Finding]:
    return answers((*OF_SITE, *OF_HOSTS), one)


def said(one: Planned) -> list[tuple[str, Severity]]:
    """What is found beside the backup, which nothing makes yet."""
    return [(finding.check, finding.severity) for finding in found(one) if finding.check != "backup"]


def test_a_site_that_is_ready_lacks_its_backup_alone() -> None:
    [backup] = found(planned())
    assert (backup.check, backup.severity) == ("backup", W)
    assert "preflight_accepted: [backup]" in backup.mend


@pytest.mark.parametrize(
    ("changes", "check", "severity", "seen"),
    [
        ({"control_allowed_stream_keys": ["x7", "Demo"]}, "stream-keys", C, "has Demo"),
        ({"control_allowed_stream_keys": ["x7"]}, "stream-keys", W, "has 1 name"),
        ({"control_settings": {}, "delivery_view_auth": False}, "viewers", W, "view_policy is open"),
        ({"control_settings": {"encryption": "none"}}, "encryption", C, "encryption is none"),
        ({"ansible_host": "public.example"}, "rtmp", W, "8.8.8.8 port 1935"),
        ({"ansible_host": "8.8.8.8"}, "rtmp", W, "8.8.8.8 port 1935"),
        ({"delivery_tls": False}, "tls", W, "delivery_tls is false"),
        ({"delivery_tls_certificate": ""}, "tls", W, "delivery_tls_certificate is empty"),
        ({"delivery_operator_networks": ["0.0.0.0/0"]}, "operators", W, "delivery_operator_networks has"),
        ({"delivery_api_networks": ["::/0"]}, "operators", W, "delivery_api_networks has ::/0"),
        ({"control_http_callback_url": "http://10.0.0.9/x"}, "backend-address", W, "http://10.0.0.9"),
        ({"ansible_host": "unknown.example"}, "names", C, "unknown.example: Name or service not known"),
        ({"control_hls_encryption_key": "00" * 16}, "weak-secrets", C, "1 different characters"),
        ({"control_webhook_secret": "ChangeMe-please-now"}, "weak-secrets", C, "everybody tries"),
        ({"firewall_enabled": False}, "firewall-on", C, "firewall_enabled is false"),
        ({"base_security_upgrades": False}, "updates", W, "base_security_upgrades is false"),
        ({"control_rotate_master_key": ""}, "rotation", W, "control_rotate_master_key is empty"),
        ({"control_rotate_content_keys": ""}, "rotation", W, "control_rotate_content_keys is empty"),
        ({"control_rotate_view_token_keys": ""}, "rotation", W, "control_rotate_view_token_keys is empty"),
        ({"control_rotate_internal_secrets": ""}, "rotation", W, "control_rotate_internal_secrets is"),
        ({"tuning_open_files_soft": 1024}, "file-limits", W, "is 1024, a worker is to have 16384"),
        ({"tuning_sysctl_changes": {"vm.swappiness": {}}}, "kernel", W, "vm.swappiness"),
        ({"origin_media_size": "16m"}, "capacity", C, "16 MiB hold 0 streams of 68 MiB"),
        ({"monitoring_alert_mail_to": ""}, "monitoring", W, "monitoring_alert_webhook_url and"),
        ({"monitoring_enabled": False}, "monitoring", W, "monitoring_enabled is false"),
    ],
)
def test_one_fault_is_one_finding(changes: dict[str, Any], check: str, severity: Severity, seen: str) -> None:
    one = planned(**changes)
    assert said(one) == [(check, severity)]
    [finding] = [finding for finding in found(one) if finding.check == check]
    assert seen in finding.seen
    assert finding.why
    assert finding.mend


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ({"origins": ["o1"]}, [("monitoring", W)]),
        ({"origins": ["o1", "o2"], "state": ["o1"], "monitors": ["m1"]}, [("state", W)]),
        ({"origins": ["o1", "o2"], "monitors": ["m1"]}, []),
        ({"origins": ["o1", "o2"], "state": ["o1", "o2", "o3"], "monitors": ["m1"]}, []),
    ],
)
def test_groups(groups: dict[str, list[str]], expected: list[tuple[str, Severity]]) -> None:
    assert said(planned(groups)) == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"control_http_callback_url": ""},
        {"control_http_callback_url": "http://localhost:9000/x"},
        {"control_http_callback_url": "http://127.0.0.1/x"},
        {"ansible_connection": "local", "ansible_host": "unknown.example"},
        {"origin_media_size": "25%"},
        {"control_webhook_secret": "whsec_" + SECRET},
        {"control_settings": {"view_policy": "open"}},
        {"tuning_sysctl_changes": {"vm.swappiness": {"value": 5, "reason": "x"}}},
    ],
)
def test_what_is_no_fault(changes: dict[str, Any]) -> None:
    assert said(planned(**changes)) == []


def test_more_streams_than_the_memory_holds() -> None:
    one = planned(origin_media_size="100m", control_allowed_stream_keys=["x1", "x2"])
    assert ("capacity", W) in said(one)
    assert ("capacity", W) not in said(planned(control_allowed_stream_keys=["x1", "x2"]))


def test_a_monitor_that_is_no_origin_is_asked_what_concerns_it() -> None:
    groups = {"origins": ["o2"], "monitors": ["o1"]}
    wrong: dict[str, Any] = {
        "delivery_tls": False,
        "control_allowed_stream_keys": ["demo"],
        "firewall_enabled": False,
    }
    assert said(planned(groups, **wrong)) == [("firewall-on", C)]


@pytest.mark.parametrize(("mode", "severity"), [(0o600, W), (0o640, W), (0o644, C)])
def test_a_secret_in_plain_is_named_and_not_shown(tmp_path: Path, mode: int, severity: Severity) -> None:
    hosts = tmp_path / "hosts.yml"
    hosts.write_text("all: {hosts: {o1:}}\n")
    variables = tmp_path / "group_vars/all.yml"
    variables.parent.mkdir()
    login = "hunter22"
    variables.write_text(f"control_webhook_secret: {SECRET}\nansible_password: {login}\n")
    variables.chmod(mode)
    # A secret is as plain in a folder as in a file that has the variables beside it.
    for source in (tmp_path, hosts):
        one = planned(files=inventory_files([str(source)]), ansible_password=login)
        assert said(one) == [("plain-secrets", severity)] * 2
        text = str([finding.described() for finding in found(one)])
        assert "ansible_password stands in plain" in text
        assert f"{variables}, mode {mode:04o}" in text
        assert SECRET not in text
        assert login not in text


def test_a_secret_from_a_vault_or_the_environment_is_not_in_plain(tmp_path: Path) -> None:
    (tmp_path / "vault.yml").write_text("$ANSIBLE_VAULT;1.1;AES256\n6435\n")
    (tmp_path / "all.yml").write_text(
        "control_webhook_secret: \"{{ lookup('env', 'WEBHOOK_SECRET') }}\"\ncontrol_hls_encryption_key: ''\n"
    )
    assert said(planned(files=inventory_files([str(tmp_path)]))) == []


def test_what_is_no_text_is_left_out(tmp_path: Path) -> None:
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    assert inventory_files([str(tmp_path), "localhost,", str(tmp_path / "absent")]) == ()
