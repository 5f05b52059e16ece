"""What a backend was told, and what it is still to hear."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from appliance.names import StreamName
from tests.support.stub_backend import StubBackend

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site


DEMO = StreamName("demo")


def events(backend: StubBackend) -> list[dict[str, Any]]:
    """What the backend was told, in order."""
    return [json.loads(request.body) for request in backend.requests if request.path == "/events"]


def told(backend: StubBackend) -> list[str]:
    return [event["type"] for event in events(backend)]


def identities(backend: StubBackend) -> list[str]:
    return [request.headers["webhook-id"] for request in backend.requests if request.path == "/events"]


async def pending(site: Site) -> int:
    async with site.valkey_client() as valkey:
        summary = await valkey.xpending("appliance:events", "backend")
    return int(summary["pending"])


async def settled(site: Site) -> bool:
    return await pending(site) == 0
