"""What happens to a publish is told, in order, once it can be: through losses, kills and a frozen Valkey."""

from __future__ import annotations

import json
import signal
from typing import TYPE_CHECKING

from appliance.state.event_kinds import publish_started
from appliance.state.lease import Lease
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import Request, StubBackend, answer

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site
from tests.integration.control.backend.telling import DEMO, events, identities, pending, settled, told


async def seen(site: Site) -> bool:
    """Whether the comparison has found the publisher of DEMO in nginx."""
    async with site.leases() as leases:
        lease = await leases.get(DEMO)
    return lease is not None and lease.seen


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
