"""What the tests of shared secrets have in common: two hosts, viewers with tokens, a backend."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.control.secrets.hosts import VALKEY, Host, another, connected
from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Site


@pytest.fixture
def settings(backend: StubBackend) -> dict[str, Any]:
    """Viewers need tokens, and there is a backend."""
    return {
        "allowed_stream_keys": ["demo"],
        "reconcile_seconds": 0.5,
        "lease_seconds": 10,
        "node": "here",
        "view_policy": "token",
        "http_callback_url": backend.url,
    }


@pytest.fixture
async def here(site: Site, tmp_path: Path) -> AsyncIterator[Host]:
    async with connected(site.valkey.socket, tmp_path) as state:
        yield Host("here", tmp_path, site.control, state)


@pytest.fixture
async def there(site: Site, here: Host) -> AsyncIterator[Host]:
    """Another host, which was given the same secrets and has the same Valkey."""
    async with another(site, here) as host:
        await host.control.up()
        yield host


@pytest.fixture
async def joining(site: Site, here: Host) -> AsyncIterator[Host]:
    """One that has only the master key of the site and Valkey's password; its service does not run yet."""
    async with another(site, here, "content-keyring", VALKEY) as host:
        yield host
