"""A service that asks a backend, and tells it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    pass


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
    return {
        **settings,
        "http_callback_url": backend.url,
        "callback_seconds": 1,
        "event_retry_seconds": 0.05,
        "rtmp_play": True,
    }
