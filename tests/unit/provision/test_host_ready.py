"""What preflight refuses on a host, as far as this machine can tell."""

from __future__ import annotations

import shutil
import subprocess
from typing import Any

import pytest

from appliance.provision.modules.host_ready import calendar_problems


class Module:
    """What the function needs of Ansible's."""

    def run_command(self, argv: list[str]) -> tuple[int, str, str]:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd on this machine")
def test_a_time_that_systemd_does_not_know_is_named_with_its_variable() -> None:
    module: Any = Module()
    wanted = [
        {"variable": "control_rotate_master_key", "calendar": "Sun *-*-* 04:30:00 UTC"},
        {"variable": "control_rotate_webhook_secret", "calendar": "every day"},
        {"variable": "control_rotate_content_keys", "calendar": "25:00"},
    ]
    first, second = calendar_problems(module, wanted)
    assert "control_rotate_webhook_secret: every day" in first
    assert "control_rotate_content_keys: 25:00" in second
    assert "systemd-analyze calendar" in first
