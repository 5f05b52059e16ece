"""A Valkey that is full, slow, or whose clock jumps; a service that is killed while it decides."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from appliance.media.rtmp.client import RtmpError
from appliance.names import StreamName
from tests.integration.control.conftest import eventually
from tests.support.stub_backend import Request, StubBackend, answer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from tests.integration.control.conftest import Site

DEMO = StreamName("demo")


async def test_a_full_valkey_keeps_what_it_acknowledges(site: Site) -> None:
    """A lease is small, and its script replaces what stands there, which a full Valkey still does."""
    running = await site.publish("demo")
    await eventually(lambda: _held(site))
    async with site.valkey_client() as valkey:
        await valkey.config_set("maxmemory", 1)
        assert (await site.ask("publish", "second")).status_code == 200
        assert await site.active() == {"demo", "second"}
        assert "memory" in site.control.events("count")[-1]["reason"]
        assert (await site.ask("publish", "demo")).status_code == 409
        assert (await site.ask("publish", "unknown")).status_code == 403
        assert (await site.api("PUT", "streams/concert", {})).status_code == 503
        await site.ask("publish_done", "second")
        assert await site.active() == {"demo"}
        assert await running.connected(1)
        await valkey.config_set("maxmemory", "64mb")
    assert (await site.api("PUT", "streams/concert", {})).status_code == 201
    assert await running.connected(0.3)


class TestSlow:
    """Valkey answers, each time after a while."""

    DELAY_SECONDS = 0.3

    @pytest.fixture
    def settings(self, settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
        return {**settings, "valkey_socket": str(tmp_path / "slow.sock")}

    @pytest.fixture(autouse=True)
    async def slow(self, tmp_path: Path) -> AsyncIterator[None]:
        """Between the service and Valkey."""

        async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
            try:
                with contextlib.suppress(OSError):
                    while data := await reader.read(65536):
                        await asyncio.sleep(seconds)
                        writer.write(data)
            finally:  # also of a connection that is there at the end
                writer.close()

        async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            ours, theirs = await asyncio.open_unix_connection(str(tmp_path / "valkey" / "valkey.sock"))
            await asyncio.gather(
                pass_on(reader, theirs, 0), pass_on(ours, writer, self.DELAY_SECONDS), return_exceptions=True
            )

        server = await asyncio.start_unix_server(accept, tmp_path / "slow.sock")
        yield
        server.close()

    async def test_it_is_waited_for_and_holds_up_nobody_who_needs_it_not(self, site: Site) -> None:
        publishing = asyncio.create_task(site.ask("publish", "demo"))
        began = asyncio.get_running_loop().time()
        for _ in range(20):
            assert (await site.http.get("/health")).status_code == 200
        assert asyncio.get_running_loop().time() - began < self.DELAY_SECONDS * 5
        assert (await publishing).status_code == 200
        # Twenty at once wait as long as a few: they travel together.
        asked = [site.ask("publish", "unknown", client=str(number)) for number in range(20)]
        answers = await asyncio.gather(*asked)
        assert {one.status_code for one in answers} == {403}
        assert max(one.elapsed.total_seconds() for one in answers) < 8 * self.DELAY_SECONDS


async def test_leases_that_all_end_at_once_are_taken_again(site: Site) -> None:
    """So it is when the clock of Valkey's host jumps an hour ahead: Valkey ends keys by the time of day."""
    running = await site.publish("demo")
    await eventually(lambda: _held(site))
    async with site.valkey_client() as valkey:
        async with site.leases() as leases:
            held = await leases.get(DEMO)
        assert held is not None
        await valkey.delete("appliance:lease:demo")
        await valkey.zadd("appliance:leases", {"demo": 1})
        await eventually(lambda: _held(site))
        async with site.leases() as leases:
            again = await leases.get(DEMO)
    # For the backend it is the same publish, and a limit of its time goes on from its beginning.
    assert again is not None
    assert (again.session, again.started_at) == (held.session, held.started_at)
    assert (await site.ask("publish", "demo")).status_code == 409
    assert await running.connected(0.3)


async def test_a_service_killed_while_it_decides_leaves_the_name_free_soon(site: Site) -> None:
    """nginx refuses the encoder, which comes back; its own lease of before must not keep it out for long."""
    never = asyncio.Event()
    site.systemd.busy = {"stream@demo.service": never}
    publishing = asyncio.create_task(site.publish("demo"))
    async with site.leases() as leases:

        async def taken() -> bool:
            return await leases.get(DEMO) is not None

        await eventually(taken)
    await site.control.end()
    with pytest.raises(RtmpError):
        await publishing
    site.systemd.busy = {}
    await site.control.up()

    async def published() -> bool:
        try:
            return await (await site.publish("demo")).connected(0.1)
        except RtmpError:
            return False

    # No longer than a lease lives: 10 s here, 30 s by default.
    await eventually(published, seconds=13)


class TestBackend:
    """What a backend says that is no answer."""

    @pytest.fixture
    def settings(self, settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
        return {
            **settings,
            "http_callback_url": backend.url,
            "callback_seconds": 0.5,
            "callback_attempts": 1,
        }

    async def test_a_body_is_no_verdict_and_no_burden(self, site: Site, backend: StubBackend) -> None:
        for body in (b"", b"\xff\xfe{", b'{"status": "denied"}'):
            backend.replies = [answer(200, body)]
            assert (await site.ask("publish", "demo")).status_code == 200, body
            await site.ask("publish_done", "demo")
        # One that does not end is not read to its end.
        backend.replies = [answer(200, bytes(range(256)) * 40_000)]
        assert (await site.ask("publish", "demo")).status_code == 503

    async def test_what_may_have_been_told_to_begin_is_told_to_have_ended(
        self, site: Site, backend: StubBackend
    ) -> None:
        """A Valkey that stood still does later what nobody waited for: it stores that a publish has begun."""

        def freeze(request: Request) -> bytes:
            if request.path == "/auth/publish" and b"clientid=2" in request.body:
                site.valkey.send(signal.SIGSTOP)
                # After the second that the event is waited for, and before the one for the lease is over.
                asyncio.get_running_loop().call_later(1.5, site.valkey.send, signal.SIGCONT)
            return answer(200)

        def told() -> list[str]:
            return [json.loads(each.body)["type"] for each in backend.requests if each.path == "/events"]

        async def nobody() -> bool:
            return not await site.active()

        backend.choose = freeze
        for client, status in (("1", 200), ("2", 503), ("3", 200)):
            assert (await site.ask("publish", "demo", client=client)).status_code == status
            await site.ask("publish_done", "demo", client=client)
            await eventually(nobody)
        # Of the one in the middle both or neither, as Valkey takes them when it wakes.
        await eventually(lambda: len(told()) in {4, 6} and told()[-1] == "publish.ended")
        assert told() == ["publish.started", "publish.ended"] * (len(told()) // 2)

    @pytest.mark.parametrize(
        "reply",
        [b"\x00\xff\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", b"200 OK\r\n\r\n", b""],
    )
    async def test_what_is_no_http_is_no_verdict(
        self, site: Site, backend: StubBackend, reply: bytes
    ) -> None:
        backend.replies = [reply]
        assert (await site.ask("publish", "demo")).status_code == 503
        assert await site.active() == set()
        assert "Traceback" not in site.control.log.read_text()


async def _held(site: Site) -> bool:
    async with site.leases() as leases:
        lease = await leases.get(DEMO)
    return lease is not None and lease.seen


async def test_a_service_that_is_gone_refuses_in_time(site: Site) -> None:
    await site.control.end()
    began = asyncio.get_running_loop().time()
    with pytest.raises(RtmpError):
        await site.publish("demo")
    assert asyncio.get_running_loop().time() - began < 2
    async with httpx.AsyncClient(trust_env=False) as http:
        assert "<publishing/>" not in (await http.get(site.nginx.stat_url)).text
