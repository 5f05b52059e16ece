"""A client that plays one stream from an RTMP server.

Source: *Adobe's Real Time Messaging Protocol* 1.0 (2012): handshake 5.2, protocol control 5.4, user control
7.1.7, commands 7.2. The status codes that tell of the publisher's coming and going are nginx-rtmp's
(`publish_notify`).

The play name may carry arguments (`demo?reader=…`) that are a secret: it is never part of a message or an
exception.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import os
import re
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.rtmp import amf
from appliance.media.rtmp.chunks import ChunkDecoder, ChunkEncoder, Message, MessageType, ProtocolError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_HANDSHAKE_BYTES: Final = 1536
_READ_BYTES: Final = 128 * 1024
_WINDOW_BYTES: Final = 2_500_000
"""Window acknowledgement size that we ask the server to keep; what Adobe's and FFmpeg's clients send."""
_CHUNK_BYTES: Final = 4096
_CONTROL_CHUNK_STREAM: Final = 2  # section 5.4: protocol control messages
_COMMAND_CHUNK_STREAM: Final = 3
_PLAY_CHUNK_STREAM: Final = 8
_BUFFER_MS: Final = 100
_LIVE_ONLY: Final = -1000.0  # section 7.2.2.1: only a live stream, never a recorded one

_STREAM_EOF, _SET_BUFFER_LENGTH, _PING, _PONG = 1, 3, 6, 7  # user control events, section 7.1.7

_ENDED: Final = frozenset(
    {"NetStream.Play.UnpublishNotify", "NetStream.Play.Stop", "NetStream.Play.Complete"}
)


class RtmpError(Exception):
    """The connection cannot be made or kept; the text says why, without the play name."""


class RtmpRefusedError(RtmpError):
    """The server answered and says no: unknown application, stream not found, not allowed."""


class PublisherEvent(enum.Enum):
    """What the server tells a waiting player about the publisher."""

    STARTED = "started"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class RtmpUrl:
    """`rtmp://HOST[:PORT]/APPLICATION`."""

    host: str
    port: int
    application: str

    @classmethod
    def parse(cls, text: str) -> RtmpUrl:
        """Raises ValueError when `text` is not of that form."""
        match = re.fullmatch(
            r"rtmp://(\[[0-9A-Fa-f:]+\]|[A-Za-z0-9.-]+)(?::(\d{1,5}))?/([A-Za-z0-9_-]+)", text
        )
        if match is None:
            raise ValueError(f"{text!r} is not rtmp://HOST[:PORT]/APPLICATION")
        return cls(match[1].strip("[]"), int(match[2] or 1935), match[3])

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"rtmp://{host}:{self.port}/{self.application}"


class RtmpPlayer:
    """One connection that has been told to play one stream; `messages` yields what arrives."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._decoder = ChunkDecoder()
        self._encoder = ChunkEncoder()
        self._pending: list[Message] = []
        self._received = 0
        self._acknowledged = 0
        self._window = _WINDOW_BYTES
        self._transaction = 0.0

    @classmethod
    async def play(cls, url: RtmpUrl, play_name: str, *, timeout_s: float = 10.0) -> RtmpPlayer:
        """Connects to `url` and plays `play_name`; returns once the server has accepted it.

        `timeout_s` bounds the whole of it, the server's `on_play` callback included. Raises
        RtmpRefusedError when the server says no, RtmpError when it cannot be reached, breaks off, is silent
        or speaks no RTMP.
        """
        try:
            async with asyncio.timeout(timeout_s):
                reader, writer = await asyncio.open_connection(url.host, url.port, limit=2 * _READ_BYTES)
                player = cls(reader, writer)
                try:
                    await player._handshake()
                    await player._start(url, play_name)
                except BaseException:
                    await player.close()
                    raise
                return player
        except TimeoutError:
            raise RtmpError(f"{url}: no answer within {timeout_s:g} s") from None
        except (OSError, EOFError) as error:
            reason = (
                os.strerror(error.errno)
                if isinstance(error, OSError) and error.errno
                else ("the server closed the connection, as it does when its on_play callback refuses")
            )
            raise RtmpError(f"{url}: {reason}") from None
        except (ProtocolError, amf.AmfError) as error:
            raise RtmpError(f"{url}: {error}") from None

    async def messages(self, *, silence_s: float = 150.0) -> AsyncIterator[Message | PublisherEvent]:
        """Yields audio, video and data messages and the publisher's coming and going, until the connection
        ends.

        `silence_s` bounds the time without a single byte: nginx-rtmp pings every 60 s by default, so a longer
        silence means a dead peer. Raises RtmpError when the connection breaks.
        """
        while True:
            pending, self._pending = self._pending, []
            for message in pending:
                event = self._handle(message)
                if event is not None:
                    yield event
            try:
                async with asyncio.timeout(silence_s):
                    await self._receive()
            except TimeoutError:
                raise RtmpError(f"nothing received for {silence_s:g} s") from None
            except EOFError:
                raise RtmpError("the server closed the connection") from None
            except OSError as error:
                raise RtmpError(error.strerror or str(error)) from None
            except ProtocolError as error:
                raise RtmpError(str(error)) from None

    async def close(self) -> None:
        """Closes the connection; the server counts one player less."""
        self._writer.close()
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(1):
                await self._writer.wait_closed()

    async def _handshake(self) -> None:
        moment = (time.monotonic_ns() // 1_000_000 & 0xFFFFFFFF).to_bytes(4)
        self._writer.write(b"\x03" + moment + bytes(4) + os.urandom(_HANDSHAKE_BYTES - 8))
        answer = await self._reader.readexactly(1 + _HANDSHAKE_BYTES)
        if answer[0] != 3:
            raise RtmpError(f"the server answers with RTMP version {answer[0]}, allowed is 3")
        self._writer.write(answer[1:])
        await self._reader.readexactly(_HANDSHAKE_BYTES)

    async def _start(self, url: RtmpUrl, play_name: str) -> None:
        self._control(MessageType.SET_CHUNK_SIZE, _CHUNK_BYTES.to_bytes(4))
        self._encoder.chunk_size = _CHUNK_BYTES
        self._control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, _WINDOW_BYTES.to_bytes(4))
        properties: dict[str, amf.AmfValue] = {
            "app": url.application,
            "flashVer": "LNX 9,0,124,2",
            "tcUrl": str(url),
            "fpad": False,
            "capabilities": 15.0,
            "audioCodecs": 4071.0,
            "videoCodecs": 252.0,
            "videoFunction": 1.0,
        }
        await self._call("connect", properties)
        answer = await self._call("createStream", None)
        stream = answer[3] if len(answer) > 3 else None
        if not isinstance(stream, float) or not 0 < stream < 2**32:
            raise RtmpError(f"createStream gave {stream!r} instead of a stream number")
        stream_id = int(stream)
        self._user_control(_SET_BUFFER_LENGTH, stream_id.to_bytes(4) + _BUFFER_MS.to_bytes(4))
        command = amf.encode("play", 0.0, None, play_name, _LIVE_ONLY)
        message = Message(MessageType.COMMAND_AMF0, 0, command, stream_id)
        self._writer.write(self._encoder.encode(message, _PLAY_CHUNK_STREAM))
        await self._await_status("NetStream.Play.Start")

    async def _call(self, name: str, argument: amf.AmfValue) -> list[amf.AmfValue]:
        self._transaction += 1
        command = amf.encode(name, self._transaction, argument)
        message = Message(MessageType.COMMAND_AMF0, 0, command)
        self._writer.write(self._encoder.encode(message, _COMMAND_CHUNK_STREAM))
        while True:
            values = await self._command()
            if values[1:2] != [self._transaction]:
                continue
            if values[0] == "_result":
                return values
            if values[0] == "_error":
                raise RtmpRefusedError(f"the server refuses {name}: {_status_text(values)}")

    async def _await_status(self, code: str) -> None:
        while True:
            values = await self._command()
            if values[0] != "onStatus":
                continue
            status = _status(values)
            if status.get("level") == "error":
                raise RtmpRefusedError(f"the server refuses to play: {_status_text(values)}")
            if status.get("code") == code:
                return

    async def _command(self) -> list[amf.AmfValue]:
        """Returns the next command; media that comes before it stays pending for `messages`."""
        looked_at = 0
        while True:
            for index in range(looked_at, len(self._pending)):
                message = self._pending[index]
                if message.type == MessageType.COMMAND_AMF0:
                    del self._pending[index]
                    values = amf.decode(message.payload)
                    return values or [None]
            looked_at = len(self._pending)
            await self._receive()

    async def _receive(self) -> None:
        data = await self._reader.read(_READ_BYTES)
        if not data:
            raise EOFError
        self._received += len(data)
        for message in self._decoder.feed(data):
            if message.type in {MessageType.SET_CHUNK_SIZE, MessageType.ABORT, MessageType.ACKNOWLEDGEMENT}:
                continue
            if message.type == MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE:
                self._window = max(1, int.from_bytes(message.payload[:4]))
            elif message.type == MessageType.SET_PEER_BANDWIDTH:
                # Section 5.4.5: answered with our own window, which stays as it was told.
                self._control(MessageType.WINDOW_ACKNOWLEDGEMENT_SIZE, _WINDOW_BYTES.to_bytes(4))
            elif message.type == MessageType.USER_CONTROL and _user_event(message) == _PING:
                self._user_control(_PONG, message.payload[2:6])
            else:
                self._pending.append(message)
        if self._received - self._acknowledged >= self._window // 2:
            self._acknowledged = self._received
            # Section 5.4.3: the sequence number is the bytes received so far, in 32 bits.
            self._control(MessageType.ACKNOWLEDGEMENT, (self._received & 0xFFFFFFFF).to_bytes(4))

    def _handle(self, message: Message) -> Message | PublisherEvent | None:
        if message.type in {MessageType.AUDIO, MessageType.VIDEO, MessageType.DATA_AMF0}:
            return message
        if message.type == MessageType.USER_CONTROL and _user_event(message) == _STREAM_EOF:
            return PublisherEvent.ENDED
        if message.type != MessageType.COMMAND_AMF0:
            return None
        try:
            values = amf.decode(message.payload)
        except amf.AmfError as error:
            raise RtmpError(str(error)) from None
        if values[:1] != ["onStatus"]:
            return None
        status = _status(values)
        code = status.get("code")
        # AMF may put an object here, which no set can be asked for.
        if isinstance(code, str) and code in _ENDED:
            return PublisherEvent.ENDED
        if status.get("level") == "error":
            raise RtmpRefusedError(f"the server ends the play: {_status_text(values)}")
        return PublisherEvent.STARTED if code == "NetStream.Play.PublishNotify" else None

    def _control(self, kind: MessageType, payload: bytes) -> None:
        self._writer.write(self._encoder.encode(Message(kind, 0, payload), _CONTROL_CHUNK_STREAM))

    def _user_control(self, event: int, payload: bytes) -> None:
        self._control(MessageType.USER_CONTROL, event.to_bytes(2) + payload)


def _user_event(message: Message) -> int:
    return int.from_bytes(message.payload[:2]) if len(message.payload) >= 2 else -1


def _status(values: list[amf.AmfValue]) -> dict[str, amf.AmfValue]:
    for value in values[2:]:
        if isinstance(value, dict) and "code" in value:
            return value
    return {}


def _status_text(values: list[amf.AmfValue]) -> str:
    # Only the code: a description may repeat the play name, and with it the secret.
    code = _status(values).get("code")
    return code if isinstance(code, str) else "without a reason"
