"""The options for ssh, as ssh itself reads them."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from appliance.lab import inventory, ssh
from appliance.lab.checkout import LabPaths
from appliance.lab.state import HostState, State

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.skipif(shutil.which("ssh") is None, reason="ssh is not installed")
@pytest.mark.parametrize("name", ["plain", "with blank", "100%h", 'a "quote"'])
def test_a_checkout_may_have_any_path(tmp_path: Path, name: str) -> None:
    paths = LabPaths(tmp_path / name, "demo")
    state = State(driver="nspawn", subnet="10.200.0.0/24", hosts={"a": HostState("a", 1, "10.200.0.11")})
    host = inventory.render(paths, state)["all"]["hosts"]["a"]
    for options in (ssh.options(paths), shlex.split(host["ansible_ssh_common_args"])):
        read = subprocess.run(
            ["ssh", "-G", *options, "10.200.0.11"], capture_output=True, text=True, check=True
        )
        lines = read.stdout.splitlines()
        assert f"userknownhostsfile {paths.known_hosts}" in lines
        # ssh puts the texts for `%` into a key's path only when it opens the file
        assert f"identityfile {str(paths.key).replace('%', '%%')}" in lines
    (control,) = (line for line in lines if line.startswith("controlpath "))
    assert control.startswith(f"controlpath {paths.control}/")
    assert '"' not in control
