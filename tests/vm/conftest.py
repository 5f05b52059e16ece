"""The machine that molecule's scenario `vm` made."""

from __future__ import annotations

from typing import Any

import pytest


@pytest.fixture(scope="module")
def address(host: Any) -> str:
    """Give the machine's address."""
    return str(host.ansible.get_variables()["ansible_host"])
