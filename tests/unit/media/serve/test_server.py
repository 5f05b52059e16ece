"""The server over its socket, beside a packager in the same event loop."""

from __future__ import annotations

import asyncio
import stat
from typing import TYPE_CHECKING

import pytest

from appliance.media.package.edge import Snapshot
from appliance.media.package.playlist import LowLatency, MediaPlaylist
from appliance.media.serve import server as server_module
from appliance.media.serve.requests import PlaylistRequest
from appliance.media.serve.server import patience

if TYPE_CHECKING:
    from tests.unit.media.serve.conftest import Live


async def _holds(request: asyncio.Task[object]) -> bool:
    """Whether `request` is still unanswered when everything that can run has run."""
    for _ in range(20):
        await asyncio.sleep(0)
    await asyncio.sleep(0.02)  # the request's way through the socket
    return not request.done()


async def test_a_playlist_is_held_until_it_has_the_part(live: Live) -> None:
    live.begin()
    live.part(2)
    async with live.client() as client:
        first = await client.get(f"{live.base}/index.m3u8")
        assert (first.status, first.body) == (200, live.file())
        assert first.headers["content-type"] == "application/vnd.apple.mpegurl"
        assert first.headers["connection"] == "keep-alive"
        there = await client.get(f"{live.base}/index.m3u8?_HLS_msn=1&_HLS_part=1")
        assert (there.status, there.body) == (200, live.file())
        request = asyncio.create_task(client.get(f"{live.base}/index.m3u8?_HLS_msn=1&_HLS_part=2"))
        assert await _holds(request)
        live.part()
        answer = await request
        assert (answer.status, answer.body) == (200, live.file())
        assert b"1.2.m4s" in answer.body


async def test_a_part_behind_the_last_is_the_next_segments_first(live: Live) -> None:
    live.begin()
    live.part(4)
    async with live.client() as client:
        request = asyncio.create_task(client.get(f"{live.base}/index.m3u8?_HLS_msn=1&_HLS_part=4"))
        assert await _holds(request)
        live.part()
        answer = await request
        assert answer.body == live.file()
        assert b'2.0.m4s",INDEPENDENT=YES' in answer.body


async def test_a_part_is_held_until_it_is_there(live: Live) -> None:
    live.begin()
    live.part()
    async with live.client() as client, live.client() as other:
        first = await client.get(f"{live.base}/1.0.m4s")
        assert (first.status, first.body) == (200, live.file("1.0.m4s"))
        assert first.headers["content-type"] == "video/iso.segment"
        request = asyncio.create_task(client.get(f"{live.base}/1.1.m4s"))
        never = asyncio.create_task(other.get(f"{live.base}/1.4.m4s"))
        assert await _holds(request)
        live.part()
        answer = await request
        assert (answer.status, answer.body) == (200, live.file("1.1.m4s"))
        live.part(2)
        assert await _holds(never)
        live.part()
        assert (await never).status == 404, "the segment has four parts"


async def test_the_next_segments_first_part_can_be_waited_for(live: Live) -> None:
    live.begin()
    live.part(4)
    assert b'TYPE=PART,URI="2.0.m4s"' in live.file()
    async with live.client() as client:
        request = asyncio.create_task(client.get(f"{live.base}/2.0.m4s"))
        assert await _holds(request)
        live.part()
        answer = await request
        assert (answer.status, answer.body) == (200, live.file("2.0.m4s"))


async def test_what_is_refused_at_once(live: Live) -> None:
    live.begin()
    live.part(5)
    async with live.client() as client:
        for query, status in (
            ("_HLS_msn=4", 400),
            ("_HLS_msn=2&_HLS_part=20", 400),
            ("_HLS_part=1", 400),
            ("_HLS_msn=x", 400),
        ):
            answer = await client.get(f"{live.base}/index.m3u8?{query}")
            assert (answer.status, answer.headers["cache-control"]) == (status, "no-store"), query
        for target in (
            "/other/720p/index.m3u8?_HLS_msn=1",
            f"/{live.packager.epoch}/360p/index.m3u8?_HLS_msn=1",
            f"{live.base}/1.9.m4s",
            f"{live.base}/9.0.m4s",
            f"{live.base}/2.m4s",
            "/",
        ):
            assert (await client.get(target)).status == 404, target


async def test_a_delta_update_is_the_whole_where_nothing_can_be_left_out(live: Live) -> None:
    live.begin()
    live.part(60)
    async with live.client() as client:
        answer = await client.get(f"{live.base}/index.m3u8?_HLS_msn=15&_HLS_part=0&_HLS_skip=YES")
    # Six segments of a second are listed, all of them within the skip boundary of six seconds.
    assert answer.body == live.file()


async def test_the_end_answers_everybody(live: Live) -> None:
    live.begin()
    live.part(5)
    async with live.client() as client, live.client() as other:
        playlist = asyncio.create_task(client.get(f"{live.base}/index.m3u8?_HLS_msn=3"))
        part = asyncio.create_task(other.get(f"{live.base}/2.1.m4s"))
        assert await _holds(playlist)
        live.packager.finish()
        answer = await playlist
        assert answer.body == live.file()
        assert answer.body.endswith(b"#EXT-X-ENDLIST\n")
        assert (await part).status == 404
        late = await client.get(f"{live.base}/index.m3u8?_HLS_msn=99&_HLS_part=99")
        assert (late.status, late.body) == (200, answer.body)
        base = live.base
        live.packager.remove()
        assert (await client.get(f"{base}/index.m3u8?_HLS_msn=1")).status == 404


async def test_nothing_new_for_three_target_durations(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "_WAIT_TARGETS", 0.05)
    live.begin()
    live.part()
    async with live.client() as client:
        assert (await client.get(f"{live.base}/index.m3u8?_HLS_msn=1")).status == 503
        assert (await client.get(f"{live.base}/1.1.m4s")).status == 503
        # The connection goes on.
        assert (await client.get(f"{live.base}/1.0.m4s")).status == 200


@pytest.mark.parametrize(
    ("target", "part"), [(1, 0.2), (1, 0.333), (2, 0.26), (2, 0.333), (4, 1.0), (6, 0.26)]
)
def test_the_next_part_is_given_up_before_players_give_up(target: int, part: float) -> None:
    playlist = MediaPlaylist(target, 0, 0, (), low_latency=LowLatency(part))
    asked = PlaylistRequest("e", "720p", 0, 0, skip=False)
    hls_js = max(3 * part, 0.8 * target)  # with the way there and back
    assert 1.5 * part < patience(asked, Snapshot("e", playlist, b"")) <= 0.75 * hls_js


def test_a_later_part_is_waited_for_until_its_time() -> None:
    snapshot = Snapshot("e", MediaPlaylist(2, 0, 0, (), low_latency=LowLatency(0.25)), b"")

    def seconds(msn: int, part: int | None) -> float:
        return patience(PlaylistRequest("e", "720p", msn, part, skip=False), snapshot)

    assert seconds(0, 3) == seconds(0, 0) + 3 * 0.25
    assert seconds(1, 1) == seconds(0, 0) + 9 * 0.25
    assert seconds(3, 0) == seconds(0, None) == 6  # three target durations


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\n\r\n", 400),
        (b"GET x HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello", 400),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\n\r\n", 404),
        (b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 404),
    ],
)
async def test_the_connection_is_closed_after_what_cannot_go_on(live: Live, sent: bytes, status: int) -> None:
    async with live.client() as client:
        client.writer.write(sent)
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (status, "close")
        assert await client.closed()


async def test_other_methods(live: Live) -> None:
    async with live.client() as client:
        await client.send("/", method="POST")
        assert (await client.answer()).status == 405
        await client.send("/", version="1.0", fields="Connection: keep-alive\r\n")
        assert (await client.answer()).headers["connection"] == "keep-alive"


async def test_connections_are_bounded(live: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 2)
    live.begin()
    live.part()
    async with live.client() as first, live.client() as second:
        held = asyncio.create_task(first.get(f"{live.base}/1.1.m4s"))
        assert (await second.get(f"{live.base}/1.0.m4s")).status == 200
        async with live.client() as third:
            assert (await third.answer()).status == 503
            assert await third.closed()
        live.part()
        assert (await held).status == 200


async def test_a_client_that_left_frees_its_place_at_the_next_part(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "MAX_CONNECTIONS", 1)
    live.begin()
    live.part()
    async with live.client() as client:
        await client.send(f"{live.base}/index.m3u8?_HLS_msn=2")
        async with live.client() as other:
            assert (await other.answer()).status == 503
    async with asyncio.timeout(10):
        while True:
            live.part()
            async with live.client() as other:
                await other.send(f"{live.base}/1.0.m4s")
                if (await other.answer()).status == 200:
                    break


async def test_a_client_that_takes_nothing_does_not_hold_the_packager(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server_module, "_SEND_S", 0)
    live.begin()
    live.packager.feed("720p", live.video.fragment(8, keyframe=True, payload=4_000_000))
    live.made = 1
    async with live.client() as stuck, live.client() as other:
        await stuck.send(f"{live.base}/1.0.m4s")
        request = asyncio.create_task(other.get(f"{live.base}/index.m3u8?_HLS_msn=1&_HLS_part=1"))
        assert await _holds(request)
        live.part()
        assert (await request).status == 200
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await stuck.answer()


async def test_only_the_group_may_connect(live: Live) -> None:
    assert stat.S_IMODE(live.socket.stat().st_mode) == 0o660
