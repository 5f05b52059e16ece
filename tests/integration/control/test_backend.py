"""A backend beside the whole service: what it decides happens, and what happens it is told."""

from __future__ import annotations

import json
import signal
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.backend.signature import verify
from appliance.media.rtmp.client import RtmpError, RtmpPlayer, RtmpUrl
from appliance.names import StreamName
from appliance.secrets.rotating import read_newest
from appliance.secrets.webhook_secret import parse_webhook_secret
from appliance.state.event_kinds import publish_started
from appliance.state.lease import Lease
from appliance.state.plays import Play
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import Request, StubBackend, answer

if TYPE_CHECKING:
    from pathlib import Path

    from tests.integration.control.conftest import Site

DEMO = StreamName("demo")
READY_IN_TIME = 9.5
"""Seconds; nginx-rtmp waits for ten."""


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
    return {
        **settings,
        "http_callback_url": backend.url,
        "callback_seconds": 1,
        "event_retry_seconds": 0.05,
        "rtmp_play": True,
    }


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


async def test_why_a_publisher_had_to_go_is_told(site: Site, backend: StubBackend) -> None:
    """Of all the host knows the reason; nginx says the same of each."""

    async def registered(name: str, **limits: int) -> str:
        await site.api("PUT", f"streams/{name}", {"limits": limits})
        return str((await site.api("POST", f"streams/{name}/keys", {})).json()["key"])

    keys = {name: await registered(name) for name in ("concert", "studio")}
    keys["short"] = await registered("short", seconds=1)
    for name, key in keys.items():
        await site.publish(f"{name}?key={key}")
    await site.publish("demo")
    leaving = await site.publish("second")
    revoked = f"streams/concert/keys/{keys['concert'].partition('.')[0]}"
    for path in (revoked, "streams/studio", "streams/demo/publisher"):
        assert (await site.api("DELETE", path)).status_code == 204
    await leaving.close()
    await eventually(lambda: told(backend).count("publish.ended") == 5)
    ended = [event["data"] for event in events(backend) if event["type"] == "publish.ended"]
    assert {data["stream"]: data["reason"] for data in ended} == {
        "concert": "revoked",
        "studio": "revoked",
        "demo": "dropped",
        "short": "limit",
        "second": "left",
    }
    # who comes back, and leaves, was not dropped
    await (await site.publish("demo")).close()
    await eventually(lambda: told(backend).count("publish.ended") == 6)
    assert events(backend)[-1]["data"]["reason"] == "left"


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


async def test_rtmp_play_is_asked_for_and_told(site: Site, backend: StubBackend) -> None:
    assert (await site.ask("play", "demo", client="7", addr="192.0.2.7")).status_code == 200
    await site.ask("play_done", "demo", client="8")  # of one who was never let in
    await site.ask("play_done", "demo", client="7", addr="192.0.2.7")
    await eventually(lambda: len(events(backend)) == 2)
    started, ended = events(backend)
    assert [started["type"], ended["type"]] == ["play.started", "play.ended"]
    assert ended["data"] == {**started["data"], "reason": "left"}
    backend.replies = [answer(402)]
    refused = await site.ask("play", "demo", client="9", addr="192.0.2.8")
    assert (refused.status_code, refused.json()) == (402, {"detail": "Payment required"})
    await site.ask("play_done", "demo", client="9", addr="192.0.2.8")
    assert len(events(backend)) == 2


async def test_who_cannot_be_told_of_is_not_let_in(site: Site, backend: StubBackend) -> None:
    async with site.valkey_client() as valkey, valkey.pipeline(transaction=True) as pipe:
        pipe.delete("appliance:events")
        pipe.set("appliance:events", "of another program")
        await pipe.execute()
    assert (await site.ask("publish", "demo")).status_code == 503
    assert await site.active() == set()
    assert "WRONGTYPE" in site.control.events("publish")[-1]["reason"]
    assert backend.paths == ["/auth/publish"]
    async with site.valkey_client() as valkey:
        await valkey.delete("appliance:events")
    # The deliverer finds its group gone, makes it again, and goes on.
    assert (await site.ask("publish", "demo")).status_code == 200
    await eventually(lambda: told(backend) == ["publish.started"])


async def kept_plays(site: Site, **added: str) -> dict[str, str]:
    """Adds to the players that were let in, by number without its `n`; what stands there then."""
    async with site.valkey_client() as valkey, valkey.pipeline() as pipe:
        for name, text in added.items():
            pipe.hset("appliance:plays:here", name.removeprefix("n"), text)
        pipe.hgetall("appliance:plays:here")
        found: dict[str, str] = (await pipe.execute())[-1]
    return found


GONE = Play(stream=DEMO, app="live", client_ip="192.0.2.7", session="gone", since=1.0)


async def test_a_player_whose_end_was_lost_is_told_by_the_comparison(
    site: Site, backend: StubBackend
) -> None:
    young = replace(GONE, session="young", since=time.time())
    await kept_plays(site, n7=GONE.dumps(), n8=young.dumps(), n9="x")
    await eventually(lambda: events(backend))
    # A number that comes again is another connection: nginx has begun anew.
    assert (await site.ask("play", "demo", client="8", addr="192.0.2.8")).status_code == 200
    await eventually(lambda: len(events(backend)) == 3)
    seen = [
        (event["type"], event["data"]["session"], event["data"].get("reason")) for event in events(backend)
    ]
    assert seen[:2] == [("play.ended", "gone", "lost"), ("play.ended", "young", "lost")]
    assert seen[2][0] == "play.started"


async def test_a_player_that_is_there_is_not_lost(site: Site, backend: StubBackend) -> None:
    await site.publish("demo")
    player = await RtmpPlayer.play(RtmpUrl.parse(site.nginx.url), "demo")
    await eventually(lambda: "play.started" in told(backend))
    [(client, text)] = (await kept_plays(site)).items()
    present = Play.parse(text)
    assert present is not None
    await kept_plays(site, **{f"n{client}": replace(present, since=1.0).dumps()})
    await kept_plays(site, n7001=replace(GONE, session="one").dumps())
    await eventually(lambda: "one" in ended_sessions(backend))
    # Between the first and the second there was a whole comparison.
    await kept_plays(site, n7002=replace(GONE, session="two").dumps())
    await eventually(lambda: "two" in ended_sessions(backend))
    assert present.session not in ended_sessions(backend)
    await player.close()
    await eventually(lambda: present.session in ended_sessions(backend))


def ended_sessions(backend: StubBackend) -> list[str]:
    return [event["data"]["session"] for event in events(backend) if event["type"] == "play.ended"]


async def seen(site: Site) -> bool:
    """Whether the comparison has found the publisher of DEMO in nginx."""
    async with site.leases() as leases:
        lease = await leases.get(DEMO)
    return lease is not None and lease.seen


async def test_a_lost_end_is_told_by_the_comparison(site: Site, backend: StubBackend) -> None:
    gone = await site.publish("demo")
    await eventually(lambda: seen(site))
    await site.control.end()
    await gone.close()
    await site.control.up()
    await eventually(lambda: "publish.ended" in told(backend))
    started, ended = events(backend)[0], events(backend)[-1]
    assert ended["data"] == {**started["data"], "reason": "lost"}


async def test_the_end_is_told_though_the_lease_ended_first(site: Site, backend: StubBackend) -> None:
    """Valkey was away for longer than a lease lives, and the encoder left meanwhile."""
    gone = await site.publish("demo")
    await eventually(lambda: seen(site))
    await eventually(lambda: "publish.started" in told(backend))
    await site.valkey.end()
    for path in (site.valkey.directory / "appendonlydir").iterdir():
        path.unlink()
    await gone.close()
    await eventually(lambda: site.control.events("publish_done"))
    await site.valkey.up()
    await eventually(lambda: "publish.ended" in told(backend))
    started, ended = events(backend)[0], events(backend)[-1]
    assert ended["data"] == {**started["data"], "reason": "lost"}
    assert told(backend).count("publish.ended") == 1


async def test_a_takeover_tells_the_end_before_the_beginning(site: Site, backend: StubBackend) -> None:
    async with site.leases() as leases:
        stale = Lease.new(DEMO, host="here", client="4711", app="live", client_ip="192.0.2.1")
        assert await leases.acquire(stale) is None
        assert await leases.publishes.tell(stale, publish_started(stale))
        assert await leases.hold(stale)
        assert (await site.ask("publish", "demo")).status_code == 200
    await eventually(lambda: len(events(backend)) >= 3)
    assert told(backend)[:3] == ["publish.started", "publish.ended", "publish.started"]
    assert events(backend)[1]["data"]["session"] == stale.session


async def test_what_was_told_but_not_settled_is_told_again_after_a_kill(
    site: Site, backend: StubBackend
) -> None:
    backend.choose = lambda request: None if request.path == "/events" else answer(200)
    await site.publish("demo")
    await eventually(lambda: identities(backend))  # read, and on its way
    await site.control.end()
    assert await pending(site) == 1
    backend.choose = None
    await site.control.up()
    await eventually(lambda: settled(site))
    assert len(set(identities(backend))) == 1
    assert len(identities(backend)) >= 2
    assert set(told(backend)) == {"publish.started"}


async def test_a_stream_whose_event_fails_waits_and_the_others_go_on(
    site: Site, backend: StubBackend
) -> None:
    bad = {"demo"}

    def choose(request: Request) -> bytes:
        stream = json.loads(request.body)["data"]["stream"] if request.path == "/events" else ""
        return answer(500 if stream in bad else 200)

    backend.choose = choose
    for name, client in (("demo", "1"), ("second", "2")):
        assert (await site.ask("publish", name, client=client)).status_code == 200
        await site.ask("publish_done", name, client=client)

    def of(stream: str) -> list[str]:
        return [event["type"] for event in events(backend) if event["data"]["stream"] == stream]

    await eventually(lambda: of("second") == ["publish.started", "publish.ended"])
    await eventually(lambda: len(of("demo")) >= 3)
    assert set(of("demo")) == {"publish.started"}
    bad.clear()
    await eventually(lambda: settled(site))
    assert of("demo")[-2:] == ["publish.started", "publish.ended"]
    assert of("demo").count("publish.ended") == 1


async def test_a_frozen_valkey_loses_nothing_that_was_stored(site: Site, backend: StubBackend) -> None:
    backend.choose = lambda request: answer(500) if request.path == "/events" else answer(200)
    await site.publish("demo")
    await eventually(lambda: len(identities(backend)) >= 2)
    site.valkey.send(signal.SIGSTOP)
    assert (await site.ask("publish", "second")).status_code == 503
    backend.choose = None
    site.valkey.send(signal.SIGCONT)
    await eventually(lambda: settled(site), 15)
    assert set(told(backend)) == {"publish.started"}
    async with site.valkey_client() as valkey:
        assert await valkey.xlen("appliance:events:dead") == 0


async def test_a_valkey_that_was_killed_has_what_was_stored(site: Site, backend: StubBackend) -> None:
    backend.choose = lambda request: answer(500) if request.path == "/events" else answer(200)
    await site.publish("demo")
    await eventually(lambda: len(identities(backend)) >= 2)
    await site.valkey.end(signal.SIGTERM)
    await site.valkey.up()
    backend.choose = None
    await eventually(lambda: settled(site), 15)
    assert len(set(identities(backend))) == 1
