"""What values the roles accept is known, and refused, before the first change: by real playbook runs."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ansible.parsing.vault import VaultLib, VaultSecret

from appliance.provision.limits import limits_of
from appliance.provision.variables import declared_by

from .conftest import CHECKOUT

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Run, Site

ROLES = CHECKOUT / "roles"
CHECK = [{"name": "Check", "checked_variables": {}}]


def refused(site: Site, **variables: Any) -> list[str]:
    run = site.play(CHECK, vars=variables)
    assert run.returncode == 2, run.output
    return [line.removeprefix("localhost: ") for line in run.failure.splitlines()]


def ports(run: Run) -> dict[str, int]:
    assert run.returncode == 0, run.output
    return {entry["variable"]: entry["port"] for entry in run.tasks["Check"]["ports"]}


def test_the_defaults_are_accepted_and_say_what_is_served(site: Site) -> None:
    assert ports(site.play(CHECK)) == {
        "ingest_rtmp_port": 1935,
        "ingest_stat_port": 8081,
        "control_listen": 8000,
        "delivery_http_port": 8080,
        "delivery_https_port": 8443,
    }


def test_ports_that_clash_across_roles_or_are_none(site: Site) -> None:
    values = {"ingest_stat_port": 8080, "control_listen": "127.0.0.1:8443", "ingest_rtmp_port": 70000}
    assert sorted(refused(site, **values)) == [
        "control_listen and delivery_https_port are both port 8443; give one of them another port",
        "delivery_http_port and ingest_stat_port are both port 8080; give one of them another port",
        "ingest_rtmp_port = 70000; allowed: a port from 1 to 65535",
    ]


def test_a_condition_of_a_wrong_type_is_named_and_not_asked(site: Site) -> None:
    (problem,) = refused(site, delivery_tls="true")  # what `-e delivery_tls=true` gives
    assert problem.startswith("delivery_tls = 'true'; allowed: true or false")


def test_a_port_that_is_not_served_clashes_with_none(site: Site) -> None:
    served = ports(site.play(CHECK, vars={"delivery_tls": False, "delivery_https_port": 8080}))
    assert "delivery_https_port" not in served


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"segment_seconds": 99}, "'99' is refused; allowed is a number of seconds from 1 to 10"),
        ({"segment_second": 2}, "did you mean segment_seconds?"),
        ({"rtmp_play": "yes"}, "allowed is true or false"),
        ({"stat_url": "http://127.0.0.1:1/stat"}, "ingest_stat_port (stat_url)"),
        ({"delivery_view_auth": True}, "delivery_view_auth, ingest_rtmp_port"),
        ({"http_callback_url": "https://a.example"}, "control_http_callback_url (http_callback_url)"),
        ({"callback_seconds": 5}, "allowed is at most 6 together for all callback_attempts (2)"),
        ({"ladder": "nowhere"}, "allowed: a ladder whose file origin_ladders names"),
    ],
)
def test_settings(site: Site, settings: dict[str, Any], problem: str) -> None:
    [line] = refused(site, control_settings=settings)
    assert line.startswith("control_settings")
    assert problem in line


def test_who_may_watch_is_asked_wherever_not_everybody_may(site: Site) -> None:
    closed = {"control_settings": {"view_policy": "token"}}
    assert site.play(CHECK, vars=closed).returncode == 0
    [line] = refused(site, delivery_view_auth=False, **closed)
    assert line.startswith("delivery_view_auth = False")
    judged = {"control_settings": {"view_policy": "backend"}}
    url = {"control_http_callback_url": "https://backend.example"}
    assert site.play(CHECK, vars={**judged, **url}).returncode == 0
    assert "a control_http_callback_url beside view_policy backend" in " ".join(refused(site, **judged))
    [line] = refused(site, delivery_auth_cache_seconds=11)
    assert line.startswith("delivery_auth_cache_seconds = 11; allowed: 1 to 10")


def test_a_version_of_ffmpeg_is_one_and_of_a_build(site: Site) -> None:
    built = {"ffmpeg_source": "build", "ffmpeg_version": "7:7.1.5-0+deb13u1+r1a2b3c4d"}
    assert site.play(CHECK, vars=built).returncode == 0
    [line] = refused(site, ffmpeg_source="build", ffmpeg_version="nonsense")
    assert line.startswith("ffmpeg_version = 'nonsense'; allowed: a version that begins with a digit")
    [line] = refused(site, ffmpeg_version="7.1.5")
    assert "ffmpeg_version = '7.1.5'; allowed: a version with ffmpeg_source build alone" in line


def test_values_of_every_role_at_once_and_no_secret(site: Site) -> None:
    lines = refused(
        site,
        control_hls_encryption_key="not-hex",
        control_webhook_secret="too-short",  # noqa: S106 - a value that is refused
        control_http_callback_url="https://backend.example/?key=1",
        delivery_tls_key="/etc/key.pem",
        origin_stream_io_weight=0,
        tuning_open_files_soft="{{ tuning_open_files_hard + 1 }}",
        valkey_socket="/tmp/valkey",  # noqa: S108 - a value that is refused
        nginx_source="upstream",
        base_journal_max_use="500m",
    )
    assert [line.partition(" = ")[0] for line in lines] == [
        "base_journal_max_use",
        "control_hls_encryption_key",
        "control_http_callback_url",
        "control_webhook_secret",
        "delivery_tls_certificate",
        "nginx_source",
        "nginx_upstream",
        "origin_stream_io_weight",
        "tuning_open_files_soft",
        "valkey_socket",
    ]
    assert lines[1].startswith("control_hls_encryption_key = (value hidden, 7 characters); allowed: 32 or 64")
    assert lines[3].startswith("control_webhook_secret = (value hidden, 9 characters); allowed: 16 to 256")


def test_what_systemd_would_refuse_or_ignore_in_a_streams_unit(site: Site) -> None:
    bounds: dict[str, Any] = {
        "origin_stream_tasks_max": 64,
        "origin_stream_oom_score_adjust": -1000,
        "origin_stream_ip_allow": ["localhost", "10.0.0.0/8", "::1"],
    }
    assert site.play(CHECK, vars=bounds).returncode == 0
    values: dict[str, Any] = {
        "origin_stream_tasks_max": 63,
        "origin_stream_oom_score_adjust": 1001,
        "origin_stream_ip_allow": ["localhost", "ingest.example.net"],
    }
    assert sorted(line.partition(" = ")[0] for line in refused(site, **values)) == sorted(values)


@pytest.fixture
def vaulted(tmp_path: Path) -> tuple[Path, str]:
    """Give a file of variables that are encrypted, or made of such ones, and what opens it."""
    password = tmp_path / "password"
    password.write_text("opens it")
    vault = VaultLib([("default", VaultSecret(password.read_bytes()))])
    text = vault.encrypt("sesame" * 20).decode()
    secret = f"!vault |\n{textwrap.indent(text, '    ')}\n"
    file = tmp_path / "vaulted.yml"
    file.write_text(
        f"my_own: {secret}control_memory_max: {secret}delivery_http_port: {secret}delivery_foo: {secret}"
        "origin_media_size: '{{ my_own }}x'\nbase_packages: ['{{ my_own }}', 7]\n"
        f"valkey_maxmemory:\n  - {textwrap.indent(secret, '  ').lstrip()}"
        "control_settings: {node: '{{ my_own }} ', segment_seconds: 2}\n"
    )
    return file, f"--vault-password-file={password}"


def test_nothing_that_is_encrypted_shows(site: Site, vaulted: tuple[Path, str]) -> None:
    file, opened = vaulted
    run = site.play(CHECK, f"--extra-vars=@{file}", opened, "-vvv", "--diff")
    assert "sesame" not in run.output
    refused_names = {line.split()[1] for line in run.failure.splitlines()}
    assert refused_names == {
        "unknown",
        "base_packages[1]",
        "control_memory_max",
        "control_settings:",
        "delivery_http_port",
        "origin_media_size",
        "valkey_maxmemory",
    }
    assert "node: (value hidden) is refused" in run.failure


def test_every_limit_is_about_variables_of_its_role_and_every_port_has_one() -> None:
    declared = declared_by(ROLES)
    for path in ROLES.glob("*/meta/limits.yml"):
        role = path.parent.parent.name
        for entry in yaml.safe_load(path.read_text()):
            names = entry.get("of") or [entry["port"]]
            assert set(names) <= declared.options.keys()
            assert names[0].startswith(f"{role}_")
            assert all(name in entry.get("that", name) for name in names)
            assert set(entry) <= {"of", "that", "allowed", "port", "units", "when"}
    named = {entry["port"] for entry in limits_of(ROLES) if "port" in entry}
    assert named >= {name for name in declared.options if name.endswith("_port")}
