"""Every role's templates render from its documented defaults, with undefined variables as errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).resolve().parents[2] / "roles"
TEMPLATES = sorted(ROLES.glob("*/templates/**/*.j2"))

# What the play knows of a Debian 13 host beside the roles' own variables.
HOST: dict[str, Any] = {
    "inventory_hostname": "origin",
    "ansible_host": "198.51.100.7",
    "group_names": ["build", "origins", "state"],
    "hostvars": {"origin": {"ansible_host": "198.51.100.7"}},
    "groups": {"all": ["origin"], "origins": ["origin"], "state": ["origin"], "build": ["origin"]},
    "ansible_check_mode": False,
    # what a role's own look at the host has registered
    "__nvidia_host": {
        "archives": [
            {"uri": "http://deb.example", "suite": "trixie", "signed_by": "", "components": ["non-free"]}
        ],
        "available": ["550.163.01"],
        "candidate": "550.163.01",
        "version": "",
        "installed": {},
        "brought": [],
        "kernel_packages": ["linux-headers-amd64", "linux-headers-6.12.118+deb13-amd64"],
        "secure_boot": False,
        "signing_key_enrolled": False,
        "device_group_id": 990,
    },
    "ansible_facts": {
        "architecture": "x86_64",
        "distribution": "Debian",
        "distribution_major_version": "13",
        "distribution_release": "trixie",
        "hostname": "origin",
        "machine": "x86_64",
        "in_container": True,
        "missing_packages": [],
        "nvidia_gpus": [],
        "package_lists": True,
        "package_versions": {},
        "python_version": "3.13.5",
        "ssh_ports": [22],
    },
}


def task_variables(template: Path, loader: DataLoader, known: dict[str, Any]) -> dict[str, Any]:
    """Return what the first task that renders a template gives it beside the role's variables."""
    for path in sorted(template.parents[1].glob("tasks/*.yml")):
        for task in loader.load_from_file(str(path), trusted_as_template=True) or []:
            files = task.get("rendered_files", {}).get("files", [])
            if not isinstance(files, list):
                files = _made(files, known | task.get("vars", {}), loader)
            for file in files:
                if file.get("template") == template.name and "vars" in file:
                    return dict(file["vars"])
    return {}


def _made(files: str, known: dict[str, Any], loader: DataLoader) -> list[dict[str, Any]]:
    """Return the list that an expression makes; one that needs files of the controller is left out."""
    try:
        return list(Templar(loader=loader, variables=known).template(files))
    except AnsibleError:
        return []


def role_variables(role: Path, loader: DataLoader) -> dict[str, Any]:
    """Return the variables that a role's templates see: all roles' defaults, and the role's own vars."""
    variables: dict[str, Any] = {**HOST, "role_path": str(role), "role_name": role.name}
    for defaults in [*sorted(ROLES.glob("*/defaults/main.yml")), role / "vars/main.yml"]:
        if defaults.exists():
            variables |= loader.load_from_file(str(defaults), trusted_as_template=True) or {}
    return variables


@pytest.mark.parametrize("template", TEMPLATES, ids=lambda path: str(path.relative_to(ROLES)))
def test_renders_from_defaults(template: Path) -> None:
    role = ROLES / template.relative_to(ROLES).parts[0]
    loader = DataLoader()
    loader.set_basedir(str(role))
    variables = role_variables(role, loader)
    variables |= task_variables(template, loader, variables)
    templar = Templar(loader=loader, variables=variables)
    templar.environment.loader.searchpath = [str(role / "templates")]
    text = templar.template(trust_as_template(template.read_text()), escape_backslashes=False)
    assert isinstance(text, str)
    assert text.strip()
    assert "{{" not in text
    assert "{%" not in text
