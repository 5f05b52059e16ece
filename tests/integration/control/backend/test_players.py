"""Who plays over RTMP: the backend is asked, and told of their ends."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from appliance.media.rtmp.client import RtmpPlayer, RtmpUrl
from appliance.state.plays import Play
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site
from tests.integration.control.backend.telling import DEMO, events, told


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
