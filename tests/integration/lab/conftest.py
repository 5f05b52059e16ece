"""Labs of their own for the tests, gone afterwards whatever happened in between."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from appliance.lab import lab, nspawn

if TYPE_CHECKING:
    from collections.abc import Iterator

LABS = ("test-lab-a", "test-lab-b")


@pytest.fixture
def labs() -> Iterator[tuple[str, str]]:
    """Give two lab names."""
    if os.geteuid() != 0:
        pytest.skip("hosts of the lab are containers, which only root starts")
    if not nspawn.namespaces():
        pytest.skip("this machine refuses to make namespaces, so it can have no containers")
    nspawn.check()  # whatever else is missing here is a fault of the machine's set-up, and fails
    for name in LABS:
        lab.down(name)
    yield LABS
    for name in LABS:
        lab.down(name)
