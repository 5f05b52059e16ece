"""A webhook secret that is rotated: the customer's backend can verify before, during and after."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import time
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.secrets.rotating import read_lines, read_newest
from appliance.state.events import Event, Events
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import Request, StubBackend

if TYPE_CHECKING:
    from types import ModuleType


from tests.integration.control.secrets.hosts import WEBHOOK, Host

EXAMPLE = Path(__file__).resolve().parents[4] / "examples" / "backend" / "verify.py"


def verifier() -> ModuleType:
    """The example's, as a customer has it."""
    spec = importlib.util.spec_from_file_location("customers_verify", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_the_webhook_is_good_before_during_and_after(here: Host, backend: StubBackend) -> None:
    customer, old = verifier(), read_newest(here.credentials, WEBHOOK)

    async def told() -> Request:
        """What the backend gets of an event that happens now."""
        event = Event.new("publish.started", "demo", {})
        await Events(here.state).add(event)

        def found() -> list[Request]:
            return [one for one in backend.requests if one.headers["webhook-id"] == event.identity]

        await eventually(found)
        return found()[0]

    def takes(request: Request, *secrets: str) -> list[bool]:
        return [_takes(customer, request, secret) for secret in secrets]

    request = await told()
    assert takes(request, old) == [True]
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, old)
    await here.rotation().rotate(WEBHOOK, grace=timedelta(seconds=6))
    new, before = read_lines(here.credentials, WEBHOOK).entries
    assert (before.text, new.text != old) == (old, True)
    request = await told()
    assert takes(request, old, new.text) == [True, True]
    # the header that has room for one: nobody can have told the customer of the new one yet
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, old)
    assert before.ends is not None
    await asyncio.sleep(before.ends.timestamp() - time.time())
    request = await told()
    assert takes(request, old, new.text) == [False, True]
    assert customer.verify_body(request.headers["x-nginx-signature"], request.body, new.text)
    rotated = [one for one in backend.requests if b"key.rotated" in one.body]
    assert len(rotated) == 1
    assert json.loads(rotated[0].body)["data"] == {"key": "webhook-secret", "host": "here"}


def _takes(customer: ModuleType, request: Request, secret: str) -> bool:
    try:
        customer.verify(request.headers, request.body, [secret])
    except customer.NotFromTheStreamingHostError:
        return False
    return True
