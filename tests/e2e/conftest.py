"""One provisioned host for all end-to-end tests, and a fresh stream name for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.site import STREAMS, Site, provisioned

_names = itertools.cycle(STREAMS)


@pytest.fixture(scope="session")
def site() -> Iterator[Site]:
    """Give a host that playbooks/site.yml has been applied to."""
    with provisioned() as host:
        yield host


@pytest.fixture
def stream() -> str:
    """Give the name of a stream that no other test of this run has used."""
    return next(_names)
