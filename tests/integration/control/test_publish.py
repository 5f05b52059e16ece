"""Publishing through a real nginx: who gets in, who does not, and what then runs."""

from __future__ import annotations

import asyncio
import socket
from typing import TYPE_CHECKING

import psutil
import pytest

from appliance.media.rtmp.client import RtmpError, RtmpPlayer, RtmpUrl
from appliance.names import StreamName
from appliance.state.lease import Lease
from tests.integration.control.conftest import eventually

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site


DEMO = StreamName("demo")

# "evil" may not publish, "demo" may; nginx publishes what stands before the question mark.
ATTACKS = [
    "evil?name=demo",
    "evil?name=demo&addr=127.0.0.9",
    "evil?%6eame=demo",
    "evil?a=1&name=demo&name=demo",
    "demo?name=evil",
    "demo?app=live",
    "evil?call=publish&clientid=1",
    "evil&name=demo",
    "demo&name=evil",
    "demo&x=1",
    "evil",
    "../demo",
    "a/b",
    "demo/",
    "a b",
    "demo ",
    "demo\n",
    "demo%0a",
    ">demo",
    "-demo",
    "$name",
    "d\u00e9mo",
    "x" * 65,
    "",
]


def own_address() -> str:
    """An address of this machine that is not its loopback's: whoever connects to it comes from it."""
    found = [
        each.address
        for name, addresses in psutil.net_if_addrs().items()
        for each in addresses
        if each.family == socket.AF_INET and name != "lo"
    ]
    return found[0]


async def counted(site: Site) -> bool:
    """Whether a publish was counted."""
    return bool((await site.get("/streams/stats"))["total_streams"])


async def test_a_publish_starts_the_unit_and_waits_for_its_reader(site: Site) -> None:
    await site.publish("demo")
    assert site.systemd.started == ["stream@demo.service"]
    [decision] = site.control.events("publish")
    assert (decision["verdict"], decision["reader"]) == ("allowed", True)
    active = await site.get("/streams/active")
    assert active["count"] == 1
    assert active["active_streams"]["demo"].keys() == {"started_at", "client_ip", "app"}
    assert active["active_streams"]["demo"]["client_ip"] == "127.0.0.1"
    # It is counted once it is answered.
    await eventually(lambda: counted(site))
    stats = await site.get("/streams/stats")
    assert stats["total_streams"] == 1
    demo = stats["stream_stats"]["demo"]
    assert demo.keys() == {"total_publishes", "total_plays", "last_publish", "last_play"}
    assert (demo["total_publishes"], demo["total_plays"], demo["last_play"]) == (1, 0, None)


async def test_a_stream_in_detail(site: Site) -> None:
    assert (await site.http.get("/streams/demo")).status_code == 404
    assert (await site.http.get("/streams/a.b")).status_code == 404
    await site.publish("demo")
    await eventually(lambda: counted(site))
    demo = await site.get("/streams/demo")
    assert (demo["active"]["client_ip"], demo["active"]["host"]) == ("127.0.0.1", "here")
    assert demo["stats"]["total_publishes"] == 1
    assert demo["status"] is None


async def test_the_answers_of_the_callbacks(site: Site) -> None:
    allowed = await site.ask("publish", "demo")
    assert (allowed.status_code, allowed.json()) == (200, {"status": "allowed", "stream_key": "demo"})
    assert (await site.ask("publish", "demo", client="901")).status_code == 409
    assert (await site.ask("publish", "unknown")).status_code == 403
    for path in ("publish_done", "play_done"):
        done = await site.ask(path, "demo")
        assert (done.status_code, done.json()) == (200, {"status": "recorded"})
    assert await site.active() == set()


async def test_a_second_publisher_is_refused_and_the_first_goes_on(site: Site) -> None:
    first = await site.publish("demo")
    with pytest.raises(RtmpError):
        await site.publish("demo")
    # What a refused connection still has to say must not end the first one's lease.
    await site.ask("publish_done", "demo", client="4711")
    assert await site.active() == {"demo"}
    assert await first.connected(0.5)


async def test_a_publisher_that_leaves_frees_its_stream_at_once(site: Site) -> None:
    first = await site.publish("demo")
    await first.close()
    await eventually(lambda: site.control.events("publish_done"))
    assert await site.active() == set()
    again = await site.publish("demo")
    assert await again.connected(0.3)
    # The reader had stayed: nobody waited for it a second time.
    assert [event["reader"] for event in site.control.events("publish")] == [True, True]


async def test_a_name_that_is_not_allowed_never_goes_on_air(site: Site) -> None:
    for name in ATTACKS:
        with pytest.raises(RtmpError):
            await site.publish(name)
        assert "<publishing/>" not in await site.on_air(), name
    assert site.systemd.started == []
    assert await site.active() == set()


async def test_arguments_that_are_no_field_of_the_module_do_no_harm(site: Site) -> None:
    publisher = await site.publish("demo?key=s3cret&x=1&x=2")
    assert await publisher.connected(0.3)
    assert "s3cret" not in site.control.log.read_text()


async def test_fifty_at_once_give_exactly_one(site: Site) -> None:
    answers = await asyncio.gather(*(site.ask("publish", "demo", client=str(n)) for n in range(50)))
    assert sorted(answer.status_code for answer in answers) == [200] + [409] * 49


async def test_a_stream_of_another_host_is_refused(site: Site) -> None:
    async with site.leases() as leases:
        elsewhere = Lease.new(DEMO, host="elsewhere", client="1", app="live", client_ip="192.0.2.1")
        assert await leases.acquire(elsewhere) is None
        assert (await site.ask("publish", "demo")).status_code == 409
        assert await leases.get(DEMO) is not None


async def test_rtmp_play_is_for_the_reader_alone(site: Site) -> None:
    await site.publish("demo")
    for name in ("demo", "demo?reader=", "demo?reader=wrong", f"demo?x=1&reader={site.secret[:-1]}"):
        with pytest.raises(RtmpError):
            await RtmpPlayer.play(RtmpUrl.parse(site.nginx.url), name)
    # The secret alone is not enough: it must come from this host.
    assert (await site.ask("play", "demo", addr="192.0.2.7", reader=site.secret)).status_code == 403
    assert (await site.ask("play", "demo", reader=site.secret)).status_code == 200
    assert (await site.ask("play", "a/b", reader=site.secret)).status_code == 403
    assert site.secret not in site.control.log.read_text()


class TestWithRtmpPlay:
    """The setting that opens RTMP play."""

    @pytest.fixture
    def settings(self, settings: dict[str, object]) -> dict[str, object]:
        return {**settings, "rtmp_play": True}

    async def test_nginx_lets_others_ask(self, site: Site) -> None:
        await site.publish("demo")
        url = site.nginx.url.replace("127.0.0.1", own_address())
        player = await RtmpPlayer.play(RtmpUrl.parse(url), "demo")
        await player.close()
        [_, decision] = site.control.events("play")
        assert (decision["verdict"], decision["client_ip"]) == ("allowed", own_address())

    async def test_others_may_play_and_are_counted(self, site: Site) -> None:
        assert (await site.ask("play", "demo", addr="192.0.2.7")).status_code == 200
        assert (await site.get("/streams/stats"))["stream_stats"]["demo"]["total_plays"] == 1
        assert (await site.ask("play", "../demo")).status_code == 403


async def test_a_body_that_is_no_callback(site: Site) -> None:
    for body in (b"name=demo&name=demo", b"x" * 20_000, b"&".join(b"a%d=1" % n for n in range(500))):
        answer = await site.http.post("/auth/publish", content=body)
        assert answer.status_code == 400
        assert answer.json() == {"detail": "Malformed request"}
    sent = b"app=live&addr=192.0.2.7&clientid=1&call=publish&name=demo&type=live&key=secret&name=other"
    assert (await site.http.post("/auth/publish", content=sent)).status_code == 400
    refused = [(line.get("stream"), line["client_ip"]) for line in site.control.events("publish")]
    assert refused == [("demo", "127.0.0.1"), *[(None, "127.0.0.1")] * 2, ("demo", "192.0.2.7")]
    assert "secret" not in site.control.log.read_text()
    assert (await site.http.post("/auth/publish", content=b"")).status_code == 403
    assert (await site.http.get("/auth/publish")).status_code == 405
