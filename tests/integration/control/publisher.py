"""A small RTMP publisher that says any name it is told, byte for byte, as no encoder's URL parser would."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Self

from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import Message, MessageType
from appliance.media.rtmp.client import RtmpError, RtmpPlayer, RtmpUrl

_SOUND = b"\xaf\x01" + bytes(16)


class Publisher(RtmpPlayer):
    """A connection that publishes instead of playing; it sends a little sound so as not to be idle."""

    _stream_id = 0
    _sound: asyncio.Task[None]

    @classmethod
    async def publish(cls, url: str, name: str) -> Self:
        """Publishes `name` (with its `?arguments`, if any). Raises RtmpError when nginx says no."""
        publisher = await cls.play(RtmpUrl.parse(url), name)
        assert isinstance(publisher, cls)
        publisher._sound = asyncio.create_task(publisher._send_sound())
        return publisher

    async def connected(self, seconds: float) -> bool:
        """Whether nginx keeps the connection for that long."""
        try:
            async with asyncio.timeout(seconds):
                async for _ in self.messages():
                    pass
        except TimeoutError:
            return True
        except RtmpError:
            return False
        return False

    def fall_silent(self) -> None:
        """Stays connected, as far as the other end can tell, and sends nothing more."""
        self._sound.cancel()

    async def close(self) -> None:
        """Leaves."""
        with contextlib.suppress(AttributeError):
            self._sound.cancel()
        await super().close()

    async def _await_status(self, code: str) -> None:
        await super()._await_status("NetStream.Publish.Start" if code == "NetStream.Play.Start" else code)

    async def _start(self, url: RtmpUrl, play_name: str) -> None:
        properties: dict[str, amf.AmfValue] = {"app": url.application, "tcUrl": str(url), "flashVer": "test"}
        await self._call("connect", properties)
        answer = await self._call("createStream", None)
        assert isinstance(answer[3], float)
        self._stream_id = int(answer[3])
        command = amf.encode("publish", 0.0, None, play_name, "live")
        message = Message(MessageType.COMMAND_AMF0, 0, command, self._stream_id)
        self._writer.write(self._encoder.encode(message, 8))
        await self._await_status("NetStream.Publish.Start")

    async def _send_sound(self) -> None:
        moment = 0
        while True:
            message = Message(MessageType.AUDIO, moment, _SOUND, self._stream_id)
            self._writer.write(self._encoder.encode(message, 4))
            await asyncio.sleep(0.5)
            moment += 500
