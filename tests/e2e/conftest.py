"""One provisioned host for all end-to-end tests, and a fresh stream name for each."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from tests.support.history import History
from tests.support.long_watch import LongWatch
from tests.support.long_watch import long_watch as play_it_all
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


@pytest.fixture(scope="session")
def long_watch(site: Site, tmp_path_factory: pytest.TempPathFactory) -> LongWatch:
    """Give what was recorded and seen of a stream with rotations, a reconnect, a rung given up and an end."""
    return play_it_all(site, tmp_path_factory.mktemp("long-watch"))


@pytest.fixture(scope="session")
def history(long_watch: LongWatch) -> History:
    """What the playlists said: two encoders, rotations, a rung that is given up, the end."""
    return long_watch.history
