"""For all unit tests: how long an example takes is the machine's business; Ansible's lookups."""

from __future__ import annotations

from pathlib import Path

import ansible.module_utils
import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")

# Where Ansible sends what our modules share along with them.
ansible.module_utils.__path__.append(
    str(Path(__file__).resolve().parents[2] / "appliance/provision/module_utils")
)


@pytest.fixture(scope="session")
def lookups() -> None:
    """The lookup plugins, which Ansible's own commands load at their start; it warns of a second time."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()
