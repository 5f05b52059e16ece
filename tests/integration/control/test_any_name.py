"""Whatever bytes an encoder sends for a name and its arguments: what was decided about is what goes on air.

The real nginx with the real module takes them from a connection, and its own /stat says what it publishes.
"""

from __future__ import annotations

import asyncio
import struct
from typing import TYPE_CHECKING, Final

import httpx
from defusedxml.ElementTree import fromstring
from hypothesis import example, given
from hypothesis import strategies as st

from appliance.control.stat import _CONTROL_CHARACTERS
from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import Message, MessageType
from appliance.media.rtmp.client import RtmpError, RtmpUrl
from tests.integration.control.conftest import eventually
from tests.integration.control.examples import bounded
from tests.integration.control.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any

    from tests.integration.control.conftest import Site

EXAMPLES: Final = 150

# The module's fields, as a name, an argument or half of one; the rest is any bytes.
WORDS = b"demo second evil name= app=live addr=127.0.0.1 call=publish %6e %00 $name \xc3\xa9"
PIECES = st.sampled_from(WORDS.split()) | st.sampled_from(b"?&=/.+ %#;>\0\r\n\xff").map(
    lambda one: bytes([one])
)
NAMES = st.lists(PIECES | st.binary(max_size=6), max_size=8).map(b"".join)


class AnyBytes(Publisher):
    """A publisher whose name need not be text."""

    name: bytes = b""

    async def _start(self, url: RtmpUrl, play_name: str) -> None:
        del play_name
        await self._call("connect", {"app": url.application, "tcUrl": str(url), "flashVer": "test"})
        answer = await self._call("createStream", None)
        assert isinstance(answer[3], float)
        self._stream_id = int(answer[3])
        name = struct.pack(">BH", 2, len(self.name)) + self.name  # an AMF0 string, section 2.4
        command = amf.encode("publish", 0.0, None) + name + amf.encode("live")
        message = Message(MessageType.COMMAND_AMF0, 0, command, self._stream_id)
        self._writer.write(self._encoder.encode(message, 8))
        await self._await_status("NetStream.Publish.Start")


async def on_air(site: Site, http: httpx.AsyncClient) -> set[str]:
    """The names that nginx publishes, as it spells them."""
    xml = (await http.get(site.nginx.stat_url)).content
    root = fromstring(xml.translate(_CONTROL_CHARACTERS).decode("latin-1"))
    return {
        stream.findtext("name", "")
        for stream in root.iterfind(".//application/live/stream")
        if any(client.find("publishing") is not None for client in stream.iterfind("client"))
    }


async def nobody(site: Site, http: httpx.AsyncClient) -> bool:
    """Whether all have left."""
    return not await on_air(site, http) and not await site.active()


async def attempt(site: Site, http: httpx.AsyncClient, name: bytes) -> None:
    """Publishes `name`, and compares what was decided with what is on air."""
    before = len(site.control.events("publish"))
    AnyBytes.name = name
    try:
        publisher = await AnyBytes.play(RtmpUrl.parse(site.nginx.url), "", timeout_s=8)
    except RtmpError:
        assert await on_air(site, http) == set(), name
        assert not [e for e in site.control.events("publish")[before:] if e["verdict"] == "allowed"], name
        return
    try:
        published = await on_air(site, http)
        [decision] = site.control.events("publish")[before:]
        assert (decision["verdict"], published) == ("allowed", {decision["stream"]}), name
        assert published <= {"demo", "second", "third"}, name
        assert name.startswith(decision["stream"].encode()), name
    finally:
        await publisher.close()
        await eventually(lambda: nobody(site, http))


async def test_what_was_decided_about_goes_on_air(site: Site) -> None:
    loop = asyncio.get_running_loop()

    def run(coroutine: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(coroutine, loop).result(30)

    async with httpx.AsyncClient(trust_env=False) as http:

        @bounded(EXAMPLES)
        @given(NAMES)
        @example(b"demo")
        @example(b"demo?key=x")
        @example(b"evil?name=demo")
        @example(b"demo?name=evil")
        @example(b"demo\0evil")
        @example(b"demo?\0name=evil")
        @example(b"evil\0?name=demo")
        @example(b"demo" + b"a" * 300)
        @example(b"demo?" + b"a" * 300)
        @example(b"demo?" + b"&" * 250)
        def any_name(name: bytes) -> None:
            run(attempt(site, http, name))

        await asyncio.to_thread(any_name)
    allowed = [line for line in site.control.events("publish") if line["verdict"] == "allowed"]
    assert allowed, "nothing was ever let in: the test would see no difference"
