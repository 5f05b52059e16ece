"""A control service without neighbours, and a client of it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest

from appliance.control.app import create_app
from appliance.control.context import Control
from appliance.control.secrets import Secrets
from appliance.control.view.policy import RegistryPolicy
from appliance.secrets.making import make_missing
from appliance.settings import Settings
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence
    from pathlib import Path

    from appliance.names import StreamName
    from appliance.state.registry import RegisteredStream


@dataclass
class Registered:
    """A registry without a Valkey: what `streams` holds; `trouble` is what a Valkey raises that is away."""

    streams: dict[StreamName, RegisteredStream | StateUnavailableError | None] = field(default_factory=dict)
    trouble: StateUnavailableError | None = None
    asked: list[Sequence[StreamName]] = field(default_factory=list)

    async def many(self, names: Sequence[StreamName]) -> dict[StreamName, Any]:
        """As the registry's."""
        self.asked.append(names)
        if self.trouble is not None:
            raise self.trouble
        return {name: self.streams.get(name) for name in names}


@pytest.fixture
def registered() -> Registered:
    """What is registered: nothing."""
    return Registered()


@pytest.fixture
def settings() -> dict[str, Any]:
    """Settings that a test overrides by parametrizing."""
    return {}


@pytest.fixture
async def control(tmp_path: Path, settings: dict[str, Any], registered: Registered) -> AsyncIterator[Control]:
    known = Settings(
        media_root=str(tmp_path / "hls"),
        allowed_stream_keys=("demo",),
        valkey_socket=str(tmp_path / "nobody.sock"),
        stat_url="http://127.0.0.1:9/stat",
        **settings,
    )
    make_missing(tmp_path / "credentials", bytes(16))
    built = Control.build(known, Secrets.load(tmp_path / "credentials"))
    yield replace(built, view_policy=RegistryPolicy(cast("Any", registered), known))
    await built.close()


@pytest.fixture
async def http(control: Control) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(create_app(control), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://control") as client:
        yield client
