"""Every end is told once, whoever was there to notice it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.control.ends import Ends
from appliance.control.stat import IngestStatus
from appliance.control.unchanged import Unchanged
from appliance.names import StreamName
from appliance.state.event_kinds import publish_ended, publish_started
from appliance.state.events import Events
from appliance.state.lease import Lease
from appliance.state.leases import Leases
from appliance.state.plays import Play, Plays
from appliance.state.valkey import State, StateUnavailableError
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.integration.control.conftest import Site
    from tests.integration.control.processes import Valkey
    from tests.support.stub_backend import StubBackend

DEMO = StreamName("demo")
THERE = Lease.new(DEMO, host="there", client="7", app="live", client_ip="192.0.2.1", key_id="k")


@pytest.fixture
async def state(valkey: tuple[Valkey, str]) -> AsyncIterator[State]:
    server, password = valkey
    state = State(server.socket, password)
    yield state
    await state.close()


class Here:
    """What looks for ends on the host `here`, whose nginx carries nothing, and what it told."""

    def __init__(self, state: State) -> None:
        self.state, self.leases, self.time = state, Leases(state, 30), 0.0
        backend = SimpleNamespace(events=Events(state), plays=Plays(state, "here"))
        control = SimpleNamespace(
            leases=self.leases, host="here", backend=backend, settings=SimpleNamespace(lease_seconds=30)
        )
        self.ends = Ends(cast("Any", control))
        self.ends._leaseless = Unchanged(30, clock=lambda: self.time)
        self.ends._beats = Unchanged(300, clock=lambda: self.time)

    async def look(self, seconds: float) -> None:
        """A round, `seconds` after the one before."""
        self.time += seconds
        present = {lease.session for lease in await self.leases.all()}
        await self.ends.of_publishers(present, IngestStatus())
        await self.ends.of_players(IngestStatus())

    async def told(self) -> list[tuple[str, str]]:
        """Which events there are, in order, with the session of each."""
        entries = [entry for entry, _ in await Events(self.state).newest(100)]
        return [(entry.event.type, json.loads(entry.event.body)["data"]["session"]) for entry in entries]

    async def begin(self, lease: Lease) -> None:
        """`lease` is taken and told."""
        assert await self.leases.acquire(lease) is None
        assert await self.leases.publishes.tell(lease, publish_started(lease))
        self.leases.taken.forget(lease)  # it is another host's

    async def lose(self) -> None:
        """The lease of DEMO ends by itself."""
        await self.state.client.delete("appliance:lease:demo")
        await self.state.client.zrem("appliance:leases", "demo")

    async def names(self) -> set[str]:
        """What stands in Valkey beside the events."""
        return {key async for key in self.state.client.scan_iter()} - {"appliance:events"}


@pytest.fixture
def here(state: State) -> Here:
    return Here(state)


async def test_the_end_of_a_dead_hosts_publisher_is_told_by_another(here: Here) -> None:
    await here.begin(THERE)
    await here.look(0)
    await here.look(100)
    assert await here.told() == [("publish.started", THERE.session)], "it has its lease"
    await here.lose()
    await here.look(0)
    await here.look(29)
    assert len(await here.told()) == 1, "its host may take it again"
    await here.look(2)
    await here.look(100)
    assert await here.told() == [("publish.started", THERE.session), ("publish.ended", THERE.session)]
    assert await here.names() == {"appliance:play_hosts"}


async def test_of_many_hosts_one_tells_it(here: Here, state: State) -> None:
    await here.begin(THERE)
    await here.lose()
    told = await asyncio.gather(*(Leases(state, 30).publishes.end(THERE) for _ in range(20)))
    assert told.count(True) == 1
    assert len(await here.told()) == 2


async def test_the_end_is_told_before_the_next_beginning(here: Here) -> None:
    await here.begin(THERE)
    await here.lose()
    mine = Lease.new(DEMO, host="here", client="1", app="live", client_ip="192.0.2.2")
    await here.begin(mine)
    await here.look(0)
    await here.look(100)
    assert await here.told() == [
        ("publish.started", THERE.session),
        ("publish.ended", THERE.session),
        ("publish.started", mine.session),
    ]
    assert await here.leases.release(mine, told=publish_ended(mine, "left"))
    assert (await here.told())[3:] == [("publish.ended", mine.session)]
    assert await here.names() == {"appliance:play_hosts"}


async def test_what_was_not_told_to_begin_is_not_told_to_end(here: Here) -> None:
    """As of a service that was killed while it decided, or of one without a backend."""
    assert await here.leases.acquire(THERE) is None
    await here.lose()
    await here.look(0)
    await here.look(31)
    assert await here.told() == []
    assert await here.names() == {"appliance:play_hosts"}


async def test_a_lease_that_its_host_takes_again_has_not_ended(here: Here) -> None:
    await here.begin(THERE)
    await here.lose()
    await here.look(0)
    await here.begin(THERE)
    await here.look(31)
    await here.lose()
    await here.look(0)
    await here.look(29)
    # And nothing is told to begin twice.
    assert await here.told() == [("publish.started", THERE.session)]


async def test_a_record_that_cannot_be_read_is_named_and_refuses_its_stream(here: Here, state: State) -> None:
    await state.client.hset("appliance:publish:demo", mapping={"session": "x", "life_ms": "y", "told": "1"})  # type: ignore[misc]
    await state.client.zadd("appliance:publishes", {"demo": "inf"})
    with pytest.raises(StateUnavailableError, match="DEL appliance:publish:demo"):
        await here.leases.acquire(THERE)
    await here.look(0)
    await state.client.delete("appliance:publish:demo")
    await here.look(0)
    assert await here.names() == {"appliance:play_hosts"}
    await state.client.set("appliance:publish:demo", "x")
    with pytest.raises(StateUnavailableError, match="DEL appliance:publish:demo"):
        await here.leases.acquire(THERE)
    assert not await state.client.exists("appliance:lease:demo")


async def test_the_ends_of_a_dead_hosts_players_are_told_by_another(here: Here, state: State) -> None:
    there = Plays(state, "there")
    play = Play(stream=DEMO, app="live", client_ip="192.0.2.7", session="one", since=1.0)
    await there.begin("7", play)
    await there.begin("8", replace(play, session="two"))
    for _ in range(3):  # it is there
        await there.beat()
        await here.look(299)
    await here.look(299)
    assert await here.told() == []
    await here.look(2)
    assert sorted(await here.told()) == [("play.ended", "one"), ("play.ended", "two")]
    assert await state.client.zrange("appliance:play_hosts", 0, -1) == ["here"]
    await here.look(1000)
    assert len(await here.told()) == 2


class TestRestart:
    """The service is away for longer than a lease lives."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
        return {**settings, "http_callback_url": backend.url, "event_retry_seconds": 0.05}

    async def test_who_left_meanwhile_is_told_and_who_stayed_is_the_same(
        self, site: Site, backend: StubBackend
    ) -> None:
        def told(name: str) -> list[tuple[str, str]]:
            # one that was not settled before the service was killed comes again, by the same name
            once = {
                each.headers["webhook-id"]: each.body for each in backend.requests if each.path == "/events"
            }
            bodies = [json.loads(body) for body in once.values()]
            mine = [body for body in bodies if body["data"].get("stream") == name]
            return [(body["type"], body["data"]["session"]) for body in mine]

        leaves = await site.publish("demo")
        stays = await site.publish("second")
        await eventually(lambda: told("demo") and told("second"))
        await site.control.end()
        await leaves.close()
        async with site.valkey_client() as valkey:
            await valkey.delete("appliance:lease:demo", "appliance:lease:second", "appliance:leases")
        await site.control.up()
        await eventually(lambda: len(told("demo")) == 2)
        [(_, session), ended] = told("demo")
        assert ended == ("publish.ended", session)
        await eventually(lambda: _active(site))
        assert await stays.connected(0.3)
        await stays.close()
        await eventually(lambda: len(told("second")) == 2)
        [(_, session), ended] = told("second")
        assert ended == ("publish.ended", session)


async def _active(site: Site) -> bool:
    return await site.active() == {"second"}
