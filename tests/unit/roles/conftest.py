"""What the tests of the nginx roles share: rendering as Ansible does, and a real nginx."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, Protocol

import pytest

from tests.support import listening, rendering

RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


class Render(Protocol):
    """Render a template of a role with all roles' defaults and its own vars, overridden by keyword."""

    def __call__(self, role: str, template: str, **variables: Any) -> str: ...


@pytest.fixture
def render() -> Render:
    """Undefined variables are errors, as on a host."""
    return rendering.render


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
