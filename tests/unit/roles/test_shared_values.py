"""A value that several roles and the program share stands in one variable: when it changes, all follow."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from appliance.settings import Settings
from tests.unit.test_templates import ROLES, TEMPLATES, role_variables, task_variables

# The owning variable, another value, and what of the default may be left nowhere.
SHARED: dict[str, tuple[Any, str]] = {
    "origin_media_root": ("/data/live", r"/srv\b|\bsrv-hls"),
    "ingest_rtmp_port": (21935, r"\b1935\b"),
    "ingest_stat_port": (28081, r"\b8081\b"),
    "control_listen": ("127.0.0.1:28000", r"\b8000\b"),
    "valkey_socket": ("/run/valkey/other", r"valkey\.sock"),
    "delivery_http_port": (28080, r"\b8080\b"),
    "delivery_https_port": (28443, r"\b8443\b"),
}
LEFTOVER = re.compile("|".join(pattern for _, pattern in SHARED.values()))


def rendered(template: Path) -> str:
    """Return a template's text on a host where every shared value differs from its default."""
    role = ROLES / template.relative_to(ROLES).parts[0]
    loader = DataLoader()
    loader.set_basedir(str(role))
    changed = {name: value for name, (value, _) in SHARED.items()}
    variables = role_variables(role, loader) | changed
    variables |= task_variables(template, loader, variables)
    templar = Templar(loader=loader, variables=variables)
    templar.environment.loader.searchpath = [str(role / "templates")]
    return str(templar.template(trust_as_template(template.read_text()), escape_backslashes=False))


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROLES)))
def test_no_default_is_left(template: Path) -> None:
    left = [line for line in rendered(template).splitlines() if LEFTOVER.search(line)]
    assert left == []


def test_the_program_gets_the_same_values() -> None:
    text = rendered(ROLES / "control/templates/appliance.yml.j2")
    settings = Settings.from_mapping(yaml.safe_load(text))
    assert settings.media_root == "/data/live"
    assert settings.ingest_url == "rtmp://127.0.0.1:21935/live"
    assert settings.stat_url == "http://127.0.0.1:28081/stat"
    assert settings.control_url == "http://127.0.0.1:28000"
    assert settings.delivery_port == 28080
    assert settings.delivery_tls_port == 28443
    assert settings.delivery_url == "https://198.51.100.7:28443"
    assert settings.valkey_socket == "/run/valkey/other"


def test_the_values_stand_in_no_other_file_of_a_role() -> None:
    """Tasks, handlers, variables and plain files; comments may name them."""
    places = [
        path
        for kind in ("tasks", "handlers", "vars", "files")
        for path in ROLES.glob(f"*/{kind}/**/*")
        if path.is_file()
    ]
    assert places
    left = [
        f"{path.relative_to(ROLES)}: {line.strip()}"
        for path in places
        for line in path.read_text().splitlines()
        if LEFTOVER.search(line) and not line.lstrip().startswith("#") and "(allowed:" not in line
    ]
    assert left == []


def test_each_shared_value_has_one_owner() -> None:
    owners = [
        (path.relative_to(ROLES).parts[0], name)
        for path in sorted(ROLES.glob("*/defaults/main.yml"))
        for name, value in (yaml.safe_load(path.read_text()) or {}).items()
        if LEFTOVER.search(str(value))
    ]
    assert sorted(name for _, name in owners) == sorted(SHARED)


def test_delivery_tells_where_the_control_service_listens() -> None:
    places = {
        yaml.safe_load((ROLES / role / "vars/main.yml").read_text())[f"_{role}_traffic_socket"]
        for role in ("control", "delivery")
    }
    assert len(places) == 1
