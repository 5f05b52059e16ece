"""What the backend decides about publishers happens, and in time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.backend.signature import verify
from appliance.media.rtmp.client import RtmpError
from appliance.secrets.rotating import read_newest
from appliance.secrets.webhook_secret import parse_webhook_secret
from appliance.state.lease import Lease
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site
from tests.integration.control.backend.telling import DEMO, events, settled, told

READY_IN_TIME = 9.5
"""Seconds; nginx-rtmp waits for ten."""


async def test_a_publish_from_its_question_to_its_end(
    site: Site, backend: StubBackend, tmp_path: Path
) -> None:
    publisher = await site.publish("demo?key=s3cret")
    await eventually(lambda: "publish.started" in told(backend))
    await publisher.close()
    await eventually(lambda: "publish.ended" in told(backend))
    assert backend.paths == ["/auth/publish", "/events", "/events"]
    started, ended = events(backend)
    assert started["data"].keys() == {"stream", "app", "client_ip", "host", "session", "started_at"}
    assert (started["data"]["stream"], started["data"]["host"]) == ("demo", "here")
    assert ended["data"] == {**started["data"], "reason": "left"}
    secrets = [parse_webhook_secret(read_newest(tmp_path / "credentials", "webhook-secret"))]
    for request in backend.requests:
        assert verify(secrets, request.headers, request.body, now=time.time())
        assert "s3cret" not in str(request)
        assert site.secret not in str(request)
    await eventually(lambda: settled(site))
    log = site.control.log.read_text()
    assert "s3cret" not in log
    assert secrets[0].text not in log


@pytest.mark.parametrize(("answered", "status"), [(401, 401), (402, 402), (403, 403), (404, 403), (409, 409)])
async def test_a_publish_that_the_backend_refuses_frees_its_stream(
    site: Site, backend: StubBackend, answered: int, status: int
) -> None:
    backend.replies = [answer(answered)]
    assert (await site.ask("publish", "demo")).status_code == status
    with pytest.raises(RtmpError):
        await site.publish("demo")
    assert await site.active() == set()
    assert site.systemd.started == []
    assert told(backend) == []
    backend.replies = [answer(200)]
    assert (await site.ask("publish", "demo")).status_code == 200


async def test_who_is_refused_without_the_backend_is_none_of_its_business(
    site: Site, backend: StubBackend
) -> None:
    assert (await site.ask("publish", "unknown")).status_code == 403
    async with site.leases() as leases:
        elsewhere = Lease.new(DEMO, host="elsewhere", client="1", app="live", client_ip="192.0.2.1")
        assert await leases.acquire(elsewhere) is None
        assert (await site.ask("publish", "demo")).status_code == 409
    assert (await site.ask("play", "demo", reader=site.secret)).status_code == 200
    assert backend.requests == []


@pytest.mark.parametrize("fault", [None, answer(500), answer(302, b"", "Location: /auth/other")])
async def test_a_silent_backend_refuses_in_time_and_frees_the_stream(
    site: Site, backend: StubBackend, fault: bytes | None
) -> None:
    backend.replies = [fault]
    refused = await site.ask("publish", "demo")
    assert (refused.status_code, refused.elapsed.total_seconds() < READY_IN_TIME) == (503, True)
    assert await site.active() == set()
    assert "the backend is silent" in site.control.events("publish")[-1]["reason"]


async def test_ready_tells_of_a_backend_that_is_left_alone(site: Site, backend: StubBackend) -> None:
    assert (await site.get("/ready"))["parts"]["backend"] == {"ok": True, "breaker": "closed"}
    backend.replies = [answer(500)]
    for _ in range(3):
        await site.ask("publish", "demo")
    ready = await site.http.get("/ready")
    assert ready.status_code == 503
    assert ready.json()["parts"]["backend"] == {"ok": False, "breaker": "open"}


class TestLastKnown:
    """The setting that repeats a verdict."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "callback_when_silent": "last-known"}

    async def test_what_was_allowed_stays_allowed_across_a_restart(
        self, site: Site, backend: StubBackend
    ) -> None:
        assert (await site.ask("publish", "demo")).status_code == 200
        await site.ask("publish_done", "demo")
        await site.control.end()
        await site.control.up()
        backend.replies = [answer(500)]
        assert (await site.ask("publish", "demo")).status_code == 200
        assert (await site.ask("publish", "second")).status_code == 503
