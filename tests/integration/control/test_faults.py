"""What happens when a neighbour is away, or this service itself: nobody who is on air notices."""

from __future__ import annotations

import asyncio
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.media.rtmp.client import RtmpError
from appliance.names import StreamName
from appliance.secrets.content_keys import KeyId
from appliance.state.lease import Lease
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

DEMO = StreamName("demo")
KEY_ID = KeyId.new(1)


async def test_without_valkey_new_publishes_are_refused_and_running_ones_go_on(site: Site) -> None:
    running = await site.publish("demo")
    key = (await site.http.get(f"/keys/demo/{KEY_ID}")).content
    await site.valkey.end()

    refused = await site.ask("publish", "second")
    assert refused.status_code == 503
    with pytest.raises(RtmpError):
        await site.publish("third")
    assert site.systemd.started == ["stream@demo.service"]
    assert (await site.http.get("/streams/active")).status_code == 503
    assert (await site.http.get("/health")).status_code == 200
    ready = await site.http.get("/ready")
    assert ready.status_code == 503
    parts = {name: part["ok"] for name, part in ready.json()["parts"].items()}
    assert parts == {"state": False, "units": True, "ingest": True}
    assert (await site.http.get(f"/keys/demo/{KEY_ID}")).content == key
    assert await running.connected(1)

    await site.valkey.up()
    # By the append-only file or by the next comparison with /stat: the lease is held again.
    await eventually(lambda: _is_ready(site))
    await eventually(lambda: _is_active(site, "demo"))
    assert (await site.ask("publish", "demo")).status_code == 409
    assert await running.connected(0.3)


async def test_a_valkey_that_lost_everything_learns_what_is_on_air(site: Site) -> None:
    await site.publish("demo")
    await site.valkey.end()
    for path in (site.valkey.directory / "appendonlydir").iterdir():
        path.unlink()
    await site.valkey.up()
    await eventually(lambda: _is_active(site, "demo"))
    assert (await site.ask("publish", "demo")).status_code == 409


async def test_a_frozen_valkey_refuses_in_time(site: Site) -> None:
    site.valkey.send(signal.SIGSTOP)
    # nginx would give up after ten seconds, without an answer.
    answer = await site.ask("publish", "demo")
    assert answer.status_code == 503
    assert answer.elapsed.total_seconds() < 4
    site.valkey.send(signal.SIGCONT)
    await eventually(lambda: _is_ready(site))
    assert (await site.ask("publish", "demo")).status_code == 200


async def test_a_killed_service_comes_back_to_what_runs(site: Site) -> None:
    running = await site.publish("demo")
    await site.control.end()
    assert await running.connected(0.3)
    site.control.log.unlink()
    await site.control.up()
    assert await site.active() == {"demo"}
    assert (await site.ask("publish", "demo")).status_code == 409
    assert site.systemd.started == ["stream@demo.service"]
    await eventually(lambda: _is_held(site, "demo"))
    # It knows the reader that joined before it was there: a publisher that returns does not wait.
    await running.close()
    await eventually(lambda: site.control.events("publish_done"))
    await site.publish("demo")
    assert site.control.events("publish")[-1]["reader"] is True


async def test_a_lost_publish_done_is_made_up_for(site: Site) -> None:
    gone = await site.publish("demo")
    await eventually(lambda: _is_held(site, "demo"))
    await site.control.end()
    await gone.close()
    await eventually(lambda: _not_on_air(site))
    await site.control.up()
    await eventually(lambda: _is_free(site))
    assert site.control.events("reconcile")


class TestTakeover:
    """Between two comparisons with /stat, a publish finds the dead lease itself."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {**settings, "reconcile_seconds": 60, "lease_seconds": 600}

    async def test_a_stale_lease_of_this_host_is_taken_over(self, site: Site) -> None:
        async with site.leases() as leases:
            stale = Lease.new(DEMO, host="here", client="4711", app="live", client_ip="192.0.2.1")
            assert await leases.acquire(stale) is None
            assert await leases.hold(stale)
            publisher = await site.publish("demo")
            assert await publisher.connected(0.3)
            [taken] = site.control.events("takeover")
            assert taken["stream"] == "demo"
            # What the dead connection still has to say changes nothing.
            await site.ask("publish_done", "demo", client="4711")
            assert not await leases.release(stale)
            assert await site.active() == {"demo"}

    async def test_a_lease_that_nginx_is_about_to_list_is_not(self, site: Site) -> None:
        async with site.leases() as leases:
            young = Lease.new(DEMO, host="here", client="4711", app="live", client_ip="192.0.2.1")
            assert await leases.acquire(young) is None
            assert (await site.ask("publish", "demo")).status_code == 409

    async def test_without_stat_nothing_is_taken_over(self, site: Site) -> None:
        async with site.leases() as leases:
            stale = Lease.new(DEMO, host="here", client="4711", app="live", client_ip="192.0.2.1")
            assert await leases.acquire(stale) is None
            assert await leases.hold(stale)
            await site.nginx.end()
            assert (await site.ask("publish", "demo")).status_code == 409


async def test_a_publisher_whose_unit_died_gets_it_again(site: Site) -> None:
    await site.publish("demo")
    await site.systemd.stop("stream@demo.service")
    await eventually(lambda: len(site.systemd.started) > 1)
    assert set(site.systemd.started) == {"stream@demo.service"}


async def test_without_systemd_a_publish_is_refused_and_the_lease_given_back(site: Site) -> None:
    await site.systemd.close()
    assert (await site.ask("publish", "demo")).status_code == 503
    assert await site.active() == set()
    await site.systemd.connect(site.bus.address)
    assert (await site.ask("publish", "demo")).status_code == 200


async def test_a_busy_systemd_is_waited_for_as_long_as_nginx_waits(site: Site) -> None:
    slow, never = asyncio.Event(), asyncio.Event()
    site.systemd.busy = {"stream@demo.service": slow, "stream@second.service": never}
    later = asyncio.get_running_loop().call_later(4, slow.set)
    try:
        allowed, refused = await asyncio.gather(site.publish("demo"), site.ask("publish", "second"))
    finally:
        later.cancel()
    assert await allowed.connected(0.1)
    # nginx would have hung up after ten seconds.
    assert (refused.status_code, 8 < refused.elapsed.total_seconds() < 9.5) == (503, True)
    assert await site.active() == {"demo"}


@pytest.mark.parametrize("kind", ["string", "set", "hash"])
async def test_a_key_that_is_no_lease_is_named_and_refuses_its_stream_only(site: Site, kind: str) -> None:
    async with site.valkey_client() as valkey:
        async with valkey.pipeline() as pipe:
            if kind == "string":
                pipe.set("appliance:lease:demo", "x")
            elif kind == "set":
                pipe.sadd("appliance:lease:demo", "x")
            else:
                pipe.hset("appliance:lease:demo", mapping={"session": "x", "life_ms": "y"})
            await pipe.execute()
        await valkey.zadd("appliance:leases", {"demo": 9e12})
        assert (await site.ask("publish", "demo")).status_code == 409
        assert (await site.ask("publish_done", "demo")).status_code == 200
        [line] = site.control.events("malformed lease")
        assert line["stream"] == "demo"
        assert "DEL appliance:lease:demo" in line["reason"]
        assert "DEL appliance:lease:demo" in site.control.events("publish")[-1]["reason"]
        await site.publish("second")
        assert await site.active() == {"second"}
        await valkey.delete("appliance:lease:demo")
    assert (await site.ask("publish", "demo")).status_code == 200


async def test_an_index_that_is_none_is_named_and_leaves_no_lease(site: Site) -> None:
    async with site.valkey_client() as valkey:
        await valkey.set("appliance:leases", "x")
        assert (await site.ask("publish", "demo")).status_code == 503
        assert "DEL appliance:leases" in site.control.events("publish")[-1]["reason"]
        assert not await valkey.exists("appliance:lease:demo")


async def test_a_caller_that_hangs_up_in_mid_body_is_a_line_and_no_traceback(site: Site) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", site.control.port)
    writer.write(b"POST /auth/publish HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nname=demo&app=live")
    await writer.drain()
    writer.close()
    await eventually(lambda: site.control.events("publish"))
    [line] = site.control.events("publish")
    assert "hung up" in line["reason"]
    assert (await site.ask("publish", "demo")).status_code == 200
    assert "Traceback" not in site.control.log.read_text()
    assert "ClientDisconnect" not in site.control.log.read_text()


async def test_a_killed_nginx_frees_its_streams(site: Site) -> None:
    await site.publish("demo")
    await eventually(lambda: _is_held(site, "demo"))
    await site.nginx.end()
    await site.nginx.up()
    await eventually(lambda: _is_free(site))
    again = await site.publish("demo")
    assert await again.connected(0.3)


async def _is_ready(site: Site) -> bool:
    return (await site.http.get("/ready")).status_code == 200


async def _is_active(site: Site, stream: str) -> bool:
    answer = await site.http.get("/streams/active")
    return answer.status_code == 200 and stream in answer.json()["active_streams"]


async def _is_free(site: Site) -> bool:
    return await site.active() == set()


async def _is_held(site: Site, stream: str) -> bool:
    async with site.leases() as leases:
        lease = await leases.get(StreamName(stream))
    return lease is not None and lease.seen


async def _not_on_air(site: Site) -> bool:
    # Asked directly: the control service is not there to pass it on.
    async with httpx.AsyncClient(trust_env=False) as http:
        return "<publishing/>" not in (await http.get(site.nginx.stat_url)).text
