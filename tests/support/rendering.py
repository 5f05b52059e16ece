"""Render a role's template as Ansible does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLES = Path(__file__).parents[2] / "roles"


def render(role: str, template: str, **variables: Any) -> str:
    """Return the text of a template of a role.

    It sees all roles' defaults and its own role's vars, overridden by `variables`. Undefined variables are
    errors, as on a host.
    """
    loader = DataLoader()
    known: dict[str, Any] = {}
    # In a play, each role knows the defaults of all.
    for path in [*sorted(ROLES.glob("*/defaults/main.yml")), ROLES / role / "vars/main.yml"]:
        known |= loader.load_from_file(str(path), trusted_as_template=True)
    folder = ROLES / role / "templates"
    text = (folder / template).read_text()
    templar = Templar(loader=loader).copy_with_new_env(
        searchpath=[str(folder)], available_variables=known | variables
    )
    options = {"trim_blocks": True, "lstrip_blocks": False}
    return str(templar.template(trust_as_template(text), escape_backslashes=False, overrides=options))


def delivery_conf(port: int, media: Path, sockets: Path, **variables: Any) -> str:
    """Return a configuration of delivery for an nginx that a test starts by itself.

    It listens on `port` of this machine, serves what lies in `media`, and asks the packagers in `sockets`.
    """
    settings: dict[str, Any] = {
        "delivery_http_port": port,
        "delivery_tls": False,  # the `http2` directive is younger than the nginx of Debian 12
        "delivery_ipv6": False,
        "delivery_worker_processes": "1",
        "delivery_worker_connections": 1024,
        "origin_media_root": str(media),
        "_delivery_sockets": str(sockets),
    }
    # As root nginx would drop to `nobody`, who cannot enter pytest's folders.
    return "user root;\n" + render("delivery", "delivery.conf.j2", **(settings | variables))
