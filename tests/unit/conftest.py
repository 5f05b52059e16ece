"""For all unit tests: how long an example takes is the machine's business; Ansible's lookups."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("no clock", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("no clock")


@pytest.fixture(scope="session")
def lookups() -> None:
    """The lookup plugins, which Ansible's own commands load at their start; it warns of a second time."""
    from ansible.plugins.loader import init_plugin_loader

    init_plugin_loader()
