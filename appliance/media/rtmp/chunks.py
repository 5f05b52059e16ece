"""The RTMP chunk stream without any I/O: bytes in, messages out, and back.

Source: *Adobe's Real Time Messaging Protocol* 1.0 (2012), section 5.3. The section numbers below are its.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final


class MessageType(enum.IntEnum):
    """Message type ids (sections 5.4, 6.2 and 7.1)."""

    SET_CHUNK_SIZE = 1
    ABORT = 2
    ACKNOWLEDGEMENT = 3
    USER_CONTROL = 4
    WINDOW_ACKNOWLEDGEMENT_SIZE = 5
    SET_PEER_BANDWIDTH = 6
    AUDIO = 8
    VIDEO = 9
    DATA_AMF0 = 18
    COMMAND_AMF0 = 20


DEFAULT_CHUNK_SIZE: Final = 128
"""Bytes of payload in a chunk until Set Chunk Size says otherwise (section 5.4.1)."""

MAX_MESSAGE_BYTES: Final = 16 * 1024 * 1024
"""Largest message taken, the most that three length bytes can say; a 4K keyframe has about 1 MiB."""

_EXTENDED: Final = 0xFFFFFF
_HEADER_BYTES: Final = {0: 11, 1: 7, 2: 3, 3: 0}


class ProtocolError(Exception):
    """The peer sends what is not RTMP."""


@dataclass(frozen=True, slots=True)
class Message:
    """One RTMP message: type id, timestamp in milliseconds (modulo 2**32), payload, message stream id."""

    type: int
    timestamp: int
    payload: bytes
    stream_id: int = 0


@dataclass(slots=True)
class _ChunkStream:
    """What one chunk stream id remembers between its chunks (section 5.3.1.2)."""

    timestamp: int = 0
    delta: int = 0
    field: int = 0  # the 3-byte timestamp field of the last header, to know an extended one by
    extended: int = 0
    length: int = 0
    type: int = 0
    stream_id: int = 0
    payload: bytearray | None = None


class ChunkDecoder:
    """Turns a byte stream, cut anywhere, into messages.

    Set Chunk Size and Abort act here and are returned as well, so that a caller can log them.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._streams: dict[int, _ChunkStream] = {}
        self.chunk_size = DEFAULT_CHUNK_SIZE

    def feed(self, data: bytes) -> list[Message]:
        """Returns the messages that `data` completes.

        Raises ProtocolError for a continuation of nothing, a message larger than MAX_MESSAGE_BYTES or an
        impossible chunk size.
        """
        self._buffer += data
        messages: list[Message] = []
        position = 0
        while (taken := self._chunk(position, messages)) > 0:
            position += taken
        if position:
            del self._buffer[:position]
        return messages

    def _chunk(self, start: int, messages: list[Message]) -> int:
        """Reads one chunk at `start`; returns its length, 0 when it is not complete yet."""
        buffer = self._buffer
        header = _basic_header(buffer, start)
        if header is None:
            return 0
        form, stream_number, at = header
        stream = self._streams.get(stream_number)
        if stream is None:
            if form != 0:
                raise ProtocolError(f"chunk stream {stream_number} begins with a chunk of type {form}")
            stream = self._streams[stream_number] = _ChunkStream()
        if len(buffer) < at + _HEADER_BYTES[form]:
            return 0
        field = int.from_bytes(buffer[at : at + 3]) if form < 3 else stream.field
        length = int.from_bytes(buffer[at + 3 : at + 6]) if form < 2 else stream.length
        body = at + _HEADER_BYTES[form]
        value = field
        if field == _EXTENDED:
            if len(buffer) < body + 4:
                return 0
            value = int.from_bytes(buffer[body : body + 4])
            # Section 5.3.1.3 repeats the field in type 3 chunks; some senders do not, so it is taken only
            # when it is the one just seen.
            if form < 3 or value == stream.extended:
                body += 4
            else:
                value = stream.extended
        begun = 0 if stream.payload is None else len(stream.payload)
        count = min(self.chunk_size, length - begun)
        if len(buffer) < body + count:
            return 0
        if stream.payload is None:
            self._begin(stream, form, at, value)
        elif form < 3:
            raise ProtocolError(f"chunk stream {stream_number} begins a message inside another")
        payload = stream.payload = stream.payload or bytearray()
        payload += buffer[body : body + count]
        if len(payload) == stream.length:
            message = Message(stream.type, stream.timestamp, bytes(payload), stream.stream_id)
            stream.payload = None
            self._act(message)
            messages.append(message)
        return body + count - start

    def _begin(self, stream: _ChunkStream, form: int, at: int, value: int) -> None:
        """Takes over what the message header at `at` says; `value` is its timestamp or delta."""
        buffer = self._buffer
        if form < 2:
            stream.length = int.from_bytes(buffer[at + 3 : at + 6])
            stream.type = buffer[at + 6]
        if form == 0:
            stream.stream_id = int.from_bytes(buffer[at + 7 : at + 11], "little")
            stream.timestamp = value
            # Section 5.3.1.2.4: after a type 0 a type 3 that starts a message has its timestamp as the delta.
            # No sender does that on purpose: nginx and FFmpeg send a type 3 only after a delta.
            stream.delta = 0
        else:
            if form < 3:
                stream.delta = value
            stream.timestamp = (stream.timestamp + stream.delta) & 0xFFFFFFFF
        if form < 3:
            stream.field = min(value, _EXTENDED)
            stream.extended = value

    def _act(self, message: Message) -> None:
        if message.type == MessageType.SET_CHUNK_SIZE:
            size = int.from_bytes(message.payload[:4])
            if not 1 <= size <= 0x7FFFFFFF:
                raise ProtocolError(f"chunk size {size} is not within 1..2147483647")
            self.chunk_size = min(size, MAX_MESSAGE_BYTES)
        elif message.type == MessageType.ABORT:
            aborted = self._streams.get(int.from_bytes(message.payload[:4]))
            if aborted is not None:
                aborted.payload = None


class ChunkEncoder:
    """Cuts messages into chunks, each message with a full type 0 header: a player sends few of them."""

    def __init__(self) -> None:
        self.chunk_size = DEFAULT_CHUNK_SIZE

    def encode(self, message: Message, chunk_stream: int) -> bytes:
        """Returns `message` as chunks on `chunk_stream` (2..63)."""
        if not 2 <= chunk_stream <= 63:
            raise ValueError(f"chunk stream {chunk_stream} is not within 2..63")
        extended = message.timestamp >= _EXTENDED
        tail = message.timestamp.to_bytes(4) if extended else b""
        out = bytearray((chunk_stream,))
        out += min(message.timestamp, _EXTENDED).to_bytes(3)
        out += len(message.payload).to_bytes(3)
        out.append(message.type)
        out += message.stream_id.to_bytes(4, "little")
        out += tail
        out += message.payload[: self.chunk_size]
        for start in range(self.chunk_size, len(message.payload), self.chunk_size):
            out.append(0xC0 | chunk_stream)
            out += tail
            out += message.payload[start : start + self.chunk_size]
        return bytes(out)


def _basic_header(buffer: bytearray, at: int) -> tuple[int, int, int] | None:
    """Returns (type, chunk stream id, offset after it) as section 5.3.1.1 has them, None when cut off."""
    if len(buffer) <= at:
        return None
    form, number = buffer[at] >> 6, buffer[at] & 0x3F
    if number > 1:
        return form, number, at + 1
    extra = number + 1
    if len(buffer) < at + 1 + extra:
        return None
    return form, 64 + int.from_bytes(buffer[at + 1 : at + 1 + extra], "little"), at + 1 + extra
