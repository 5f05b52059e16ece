"""Labs of their own for the tests, gone afterwards whatever happened in between."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.lab import lab, nspawn

if TYPE_CHECKING:
    from collections.abc import Iterator

LABS = ("test-lab-a", "test-lab-b")


@pytest.fixture
def labs() -> Iterator[tuple[str, str]]:
    """Give two lab names."""
    try:
        nspawn.check()
    except OperatorError as error:
        pytest.skip(str(error))
    for name in LABS:
        lab.down(name)
    yield LABS
    for name in LABS:
        lab.down(name)
