"""A viewer with this host's own view token: locked out is a finding, and not let in is told."""

from __future__ import annotations

import asyncio
import contextlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from appliance.names import StreamName
from appliance.ops.doctor import watching
from appliance.ops.doctor.fetching import PLAYLIST_BYTES
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.stream_path import _Walk
from appliance.ops.doctor.watching import Watch
from appliance.secrets.making import make_missing
from appliance.settings import Settings
from appliance.state.registry import RegisteredStream
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

DEMO = StreamName("demo")
LOCKED_OUT = "delivery refuses this host's own view token"


class Refusing:
    """A delivery that answers every request with one status."""

    def __init__(self) -> None:
        self.status = 401
        self.asked: list[str] = []
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note the path; answer and close."""
        self.asked.append((await reader.readuntil(b"\r\n\r\n")).split()[1].decode())
        writer.write(f"HTTP/1.1 {self.status} No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
        await writer.drain()
        writer.close()


@pytest.fixture
async def delivery() -> AsyncIterator[Refusing]:
    made = Refusing()
    async with await asyncio.start_server(made.answer, "127.0.0.1", 0) as server:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def watched(delivery: Refusing, directory: Path, **settings: Any) -> Watch:
    """Return a watch of a host whose delivery asks who may watch."""
    known = Settings(delivery_port=delivery.port, **({"delivery_view_auth": True} | settings))
    return Watch(Host(settings=known, credentials=directory), DEMO)


@pytest.mark.parametrize(
    ("status", "policy", "found"),
    [
        (401, "token", [LOCKED_OUT]),
        (401, None, [LOCKED_OUT]),
        (401, "backend", []),
        (401, "silent", []),
        (402, "token", []),
        (403, "token", []),
    ],
)
async def test_a_fresh_token_of_the_host_is_refused(
    *,
    delivery: Refusing,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    status: int,
    policy: str | None,
    found: list[str],
) -> None:
    async def asked(*_: Any) -> Any:
        if policy == "silent":
            raise StateUnavailableError("Valkey: silent")
        return policy and RegisteredStream(name=DEMO, created_at="", view=policy)  # type: ignore[arg-type]

    monkeypatch.setattr(watching, "asked", asked)
    make_missing(tmp_path, None)
    delivery.status = status
    watch = watched(delivery, tmp_path)
    assert [finding.what for finding in await watch.findings()] == found
    assert delivery.asked[0].startswith("/hls/t/ey")
    assert watch.reached == ("playlist" if found else "refused")


async def test_who_is_not_let_in_does_not_say_that_all_is_good(delivery: Refusing, tmp_path: Path) -> None:
    """Without a key nothing can be signed; with `delivery_viewer_networks` the host itself is kept out."""
    delivery.status = 403
    for asks in (True, False):
        watch = watched(delivery, tmp_path, delivery_view_auth=asks)
        assert await watch.findings() == []
        seen = await _Walk(watch._host, DEMO).delivery()
        assert seen == "not looked at: status 403, who may watch is not the doctor's to say"


class Serving:
    """A delivery that answers by path; b"" without end for what it was not given."""

    def __init__(self, pages: dict[str, str]) -> None:
        self.pages = pages
        self.asked: list[str] = []
        self.sent = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Note the path; answer, and close."""
        path = (await reader.readuntil(b"\r\n\r\n")).split()[1].decode()
        self.asked.append(path)
        with contextlib.suppress(ConnectionError):
            writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
            if path in self.pages:
                writer.write(self.pages[path].encode())
            else:
                while True:
                    writer.write(b"#" * 65_536)
                    self.sent += 65_536
                    await writer.drain()
            await writer.drain()
        writer.close()


MASTER = "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=1000000\n{}\n"
MEDIA = """#EXTM3U
#EXT-X-TARGETDURATION:2
#EXT-X-KEY:METHOD={method},URI="{key}",IV=0x00000000000000000000000000000001
#EXT-X-MAP:URI="{init}"
#EXT-X-PROGRAM-DATE-TIME:{now}
#EXTINF:2.0,
{segment}
"""


async def seen_by(pages: dict[str, str], tmp_path: Path) -> tuple[list[str], Serving]:
    """Return what the doctor saw of a stream whose delivery has `pages`, and that delivery."""
    serving = Serving(pages)
    async with await asyncio.start_server(serving.answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        host = Host(settings=Settings(delivery_port=port), credentials=tmp_path)
        async with asyncio.timeout(20):
            findings = await Watch(host, DEMO).findings()
    return [finding.seen for finding in findings], serving


@pytest.mark.parametrize("endless", ["/hls/demo.m3u8", "/hls/demo/0.m3u8"])
async def test_a_playlist_without_an_end_is_not_read_to_it(tmp_path: Path, endless: str) -> None:
    pages = {"/hls/demo.m3u8": MASTER.format("demo/0.m3u8")}
    pages.pop(endless, None)
    seen, serving = await seen_by(pages, tmp_path)
    assert seen == [f"{endless}: more than {PLAYLIST_BYTES} bytes, which are allowed"]
    assert serving.sent < 4 * PLAYLIST_BYTES + (4 << 20)  # and what is in the sockets


@pytest.mark.parametrize(
    "elsewhere", ["http://127.0.0.1:9/x", "//192.0.2.1/x", "https://localhost/x", "file:///etc/shadow"]
)
@pytest.mark.parametrize("what", ["variant", "segment", "key", "init"])
async def test_a_playlist_leads_nowhere_but_to_this_host(tmp_path: Path, elsewhere: str, what: str) -> None:
    names = {"variant": "demo/0.m3u8", "segment": "1.m4s", "key": "keys/1", "init": "init.mp4"}
    names[what] = elsewhere
    now = datetime.now(UTC).isoformat()
    pages = {
        "/hls/demo.m3u8": MASTER.format(names["variant"]),
        "/hls/demo/0.m3u8": MEDIA.format(now=now, method="NONE" if what == "init" else "AES-128", **names),
        "/hls/demo/1.m4s": "x" * 200_000,
    }
    seen, serving = await seen_by(pages, tmp_path)
    assert seen[-1].startswith(
        ("http://127.0.0.1:9/x", "http://192.0.2.1/x", "https://localhost/x", "file://")
    )
    assert " is not on this host; allowed is http://127.0.0.1:" in seen[-1]
    assert not any("x" in path.rpartition("/")[2] for path in serving.asked)


async def test_no_more_variants_are_asked_for_than_a_ladder_has(tmp_path: Path) -> None:
    master = "#EXTM3U\n" + "#EXT-X-STREAM-INF:BANDWIDTH=1\nv.m3u8\n" * 1000
    seen, serving = await seen_by({"/hls/demo.m3u8": master}, tmp_path)
    assert seen == ["its playlist: it lists 1000 variants; allowed are 32"]
    assert serving.asked == ["/hls/demo.m3u8"]
