"""What the tests of a provisioned host share. They change nothing: run them against production as well.

    PATH=$PWD/.venv/bin:$PATH pytest tests/host --hosts=ansible://origins --ansible-inventory=INVENTORY

`make test` runs them through molecule, on a host that playbooks/site.yml has just been applied to.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

OnHost = Callable[[str], Any]


@pytest.fixture
def on_host(host: Any) -> OnHost:
    """Give a function that runs Python source on the host as root and returns the JSON it prints."""

    def run(source: str) -> Any:
        done = host.run("python3 -c %s", source)
        assert done.rc == 0, done.stderr
        return json.loads(done.stdout)

    return run


@pytest.fixture
def properties(host: Any) -> Callable[[str], dict[str, str]]:
    """Give a function that returns the properties of a systemd unit."""

    def show(unit: str) -> dict[str, str]:
        lines = host.check_output("systemctl show %s", unit).splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    return show
