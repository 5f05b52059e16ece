"""What the tests of the nginx roles share: rendering as Ansible does, and a real nginx."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

from tests.support import listening

ROLES = Path(__file__).parents[3] / "roles"
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


class Render(Protocol):
    """Render a template of a role with all roles' defaults and its own vars, overridden by keyword."""

    def __call__(self, role: str, template: str, **variables: Any) -> str: ...


@pytest.fixture
def render() -> Render:
    """Undefined variables are errors, as on a host."""

    def rendered(role: str, template: str, **variables: Any) -> str:
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

    return rendered


@pytest.fixture
def nginx() -> str:
    """Return the path of an nginx, or skip: `apt-get install nginx libnginx-mod-rtmp` on the controller."""
    found = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin")
    if found is None:
        pytest.skip("no nginx on this machine")
    return found


@pytest.fixture
def rtmp_preamble(nginx: str) -> str:
    """Return the line that loads the RTMP module where it is not compiled in, or skip without one."""
    version = subprocess.run([nginx, "-V"], check=True, capture_output=True, text=True).stderr
    if "rtmp" in version:
        return ""
    if not RTMP_MODULE.exists():
        pytest.skip("no RTMP module on this machine")
    return f"load_module {RTMP_MODULE};\n"


@pytest.fixture
def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    return listening.free_port()
