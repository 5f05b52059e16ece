"""A control service without neighbours, and a client of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.control.app import create_app
from appliance.control.context import Control
from appliance.control.secrets import Secrets
from appliance.secrets.credentials import make_missing
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings that a test overrides by parametrizing."""
    return {}


@pytest.fixture
async def control(tmp_path: Path, settings: dict[str, Any]) -> AsyncIterator[Control]:
    known = Settings(
        media_root=str(tmp_path / "hls"),
        allowed_stream_keys=("demo",),
        valkey_socket=str(tmp_path / "nobody.sock"),
        stat_url="http://127.0.0.1:9/stat",
        **settings,
    )
    make_missing(tmp_path / "credentials", bytes(16))
    built = Control.build(known, Secrets.load(tmp_path / "credentials"))
    yield built
    await built.close()


@pytest.fixture
async def http(control: Control) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(control), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        yield client
