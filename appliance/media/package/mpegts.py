"""MPEG-2 Transport Stream from access units (ISO/IEC 13818-1; the section numbers are its).

One program: pictures, sound, or both. A segment begins with the tables that describe it (RFC 8216, 3.2) and
then the first picture, whenever the sound begins. What is written is small, not what a broadcast would need:
tables stand at the beginning only, and nothing fills up a rate.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.media.package.access_units import CLOCK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.media.package.access_units import AccessUnit

PACKET_BYTES: Final = 188
_PAYLOAD_BYTES: Final = PACKET_BYTES - 4

PAT_PID: Final = 0
PMT_PID: Final = 0x1000
VIDEO_PID: Final = 0x100
AUDIO_PID: Final = 0x101
_PROGRAM: Final = 1

# Table 2-34: stream types; 2.4.3.7: stream ids of the first video and the first audio stream.
_AVC, _ADTS = (0x1B, 0xE0), (0x0F, 0xC0)

_DISCONTINUITY, _RANDOM_ACCESS, _HAS_PCR = 0x80, 0x40, 0x10  # flags of the adaptation field, 2.4.3.5

_DELAY: Final = CLOCK // 2
"""How much earlier than its decoding time the stream's clock lets a unit arrive: time to receive it in."""

_CLOCK_TICKS: Final = CLOCK // 10
"""The longest distance of two clock references (2.7.2)."""

_GROUPED: Final = 4
"""Frames of sound in one packet of the elementary stream: 85 ms at 48 kHz. One each would fill half of its
last packet with nothing, at low rates half of everything."""


class TransportStream:
    """The segments of one rendition in one run, whose packets are counted through all of them."""

    def __init__(self, *, video: bool, audio: bool) -> None:
        self._video = _Stream(VIDEO_PID, *_AVC) if video else None
        self._audio = _Stream(AUDIO_PID, *_ADTS) if audio else None
        streams = [stream for stream in (self._video, self._audio) if stream is not None]
        self._clocked = streams[0]
        self._pat, self._pmt = _Stream(PAT_PID, 0, 0), _Stream(PMT_PID, 0, 0)
        # Each set of streams has a version: what describes the program differs only when it does.
        version = 2 * video + audio
        self._tables = (
            (self._pat, _section(0, 1, 0, _PROGRAM.to_bytes(2) + _pid(PMT_PID))),
            (self._pmt, _section(2, _PROGRAM, version, _program_map(self._clocked, streams))),
        )

    def segment(self, pictures: Sequence[AccessUnit], sound: Sequence[AccessUnit]) -> bytes:
        """The packets of `pictures` and `sound`, each in the order of decoding; one at least has a unit."""
        packets: list[bytes] = []
        for stream, section in self._tables:
            packets += stream.table(section)
        clock: int | None = None
        for stream, unit, payload in self._in_order(pictures, sound):
            flags = _RANDOM_ACCESS if unit.keyframe else 0
            arrives = unit.decoded - _DELAY
            while clock is not None and arrives - clock > _CLOCK_TICKS:
                # Pictures are further apart than the references to the clock may be.
                clock += _CLOCK_TICKS
                packets.append(self._clocked.reference(clock))
            if stream is self._clocked:
                clock, flags = arrives, flags | _HAS_PCR
            packets += stream.packets(payload, flags, arrives)
        return b"".join(packets)

    def _in_order(
        self, pictures: Sequence[AccessUnit], sound: Sequence[AccessUnit]
    ) -> Iterator[tuple[_Stream, AccessUnit, bytes]]:
        """Stream, first unit and elementary stream packet of all, the first picture first, then by time."""
        if self._video is not None and pictures:
            yield self._video, pictures[0], self._video.packetized(pictures[:1])
        rest = []
        if self._video is not None:
            rest += [(self._video, pictures[at : at + 1]) for at in range(1, len(pictures))]
        if self._audio is not None:
            rest += [(self._audio, sound[at : at + _GROUPED]) for at in range(0, len(sound), _GROUPED)]
        for stream, units in sorted(rest, key=lambda item: item[1][0].decoded):
            yield stream, units[0], stream.packetized(units)


class _Stream:
    """The packets of one PID. Its first packet says that counters and clock begin anew (2.4.3.5)."""

    def __init__(self, pid: int, stream_type: int, stream_id: int) -> None:
        self.pid = pid
        self.stream_type = stream_type
        self._id = stream_id
        self._counter = 0
        self._begins = _DISCONTINUITY
        self._middle = [bytes((0x47, pid >> 8, pid & 0xFF, 0x10 | counter)) for counter in range(16)]

    def packetized(self, units: Sequence[AccessUnit]) -> bytes:
        """One packet of the elementary stream with `units` (2.4.3.6)."""
        first = units[0]
        if first.presented == first.decoded:
            times, flags = _time(2, first.presented), 0x80
        else:
            times, flags = _time(3, first.presented) + _time(1, first.decoded), 0xC0
        content = bytes((0x84, flags, len(times))) + times + b"".join(unit.data for unit in units)
        # Only of pictures the length may stay unsaid, where it does not fit.
        length = len(content) if len(content) < 1 << 16 else 0
        return b"\0\0\1" + bytes((self._id,)) + length.to_bytes(2) + content

    def table(self, section: bytes) -> list[bytes]:
        """The packet with a table's one section, filled up behind it (2.4.4)."""
        room = _PAYLOAD_BYTES - (2 if self._begins else 0)
        return self.packets(section.ljust(room, b"\xff"), 0)

    def packets(self, payload: bytes, flags: int, clock: int = 0) -> list[bytes]:
        """The packets that carry `payload`, the first with the adaptation field that `flags` tell of."""
        flags |= self._begins
        self._begins = 0
        field = bytes((flags,)) if flags else b""
        if flags & _HAS_PCR:
            field += _reference(clock)
        room = _PAYLOAD_BYTES - (len(field) + 1 if field else 0)
        if len(payload) <= room:
            return [self._stuffed(0x40, field, payload)]
        head = bytes((0x47, 0x40 | self.pid >> 8, self.pid & 0xFF, (0x30 if field else 0x10) | self._count()))
        found = [head, bytes((len(field),)) + field if field else b"", payload[:room]]
        end = len(payload) - (len(payload) - room) % _PAYLOAD_BYTES
        for at in range(room, end, _PAYLOAD_BYTES):
            found.append(self._middle[self._counter])
            found.append(payload[at : at + _PAYLOAD_BYTES])
            self._counter = self._counter + 1 & 0xF
        if end < len(payload):
            found.append(self._stuffed(0, b"", payload[end:]))
        return found

    def reference(self, clock: int) -> bytes:
        """A packet with nothing but a clock reference; it does not count (2.4.3.3)."""
        counter = self._counter - 1 & 0xF
        field = (bytes((_HAS_PCR,)) + _reference(clock)).ljust(_PAYLOAD_BYTES - 1, b"\xff")
        return bytes((0x47, self.pid >> 8, self.pid & 0xFF, 0x20 | counter, len(field))) + field

    def _stuffed(self, start: int, field: bytes, payload: bytes) -> bytes:
        """The one packet for `payload`, which its adaptation field fills up."""
        spare = _PAYLOAD_BYTES - len(payload)
        if spare > 1:
            # Flags at least, where there is room for more than the field's length.
            field = (field or b"\0").ljust(spare - 1, b"\xff")
        control = (0x30 if spare else 0x10) | self._count()
        head = bytes((0x47, start | self.pid >> 8, self.pid & 0xFF, control))
        return head + (bytes((len(field),)) + field if spare else b"") + payload

    def _count(self) -> int:
        counter = self._counter
        self._counter = counter + 1 & 0xF
        return counter


def _time(prefix: int, ticks: int) -> bytes:
    """A time stamp of 33 bits, with marker bits between its parts (2.4.3.7)."""
    high, middle, low = ticks >> 30 & 0x7, ticks >> 15 & 0x7FFF, ticks & 0x7FFF
    return (prefix << 36 | high << 33 | 1 << 32 | middle << 17 | 1 << 16 | low << 1 | 1).to_bytes(5)


def _reference(ticks: int) -> bytes:
    """A program clock reference at a whole tick of 90 kHz (2.4.3.5)."""
    return ((ticks & (1 << 33) - 1) << 15 | 0x3F << 9).to_bytes(6)


def _pid(pid: int) -> bytes:
    return (0xE000 | pid).to_bytes(2)


def _program_map(clocked: _Stream, streams: Sequence[_Stream]) -> bytes:
    """What a program map says behind its header: whose clock counts, and its streams (2.4.4.8)."""
    rows = b"".join(bytes((stream.stream_type,)) + _pid(stream.pid) + b"\xf0\0" for stream in streams)
    return _pid(clocked.pid) + b"\xf0\0" + rows


def _section(table: int, number: int, version: int, content: bytes) -> bytes:
    """A table in one section, after the pointer that says that it begins at once (2.4.4)."""
    length = 0xB000 | len(content) + 9
    head = bytes((table,)) + length.to_bytes(2) + number.to_bytes(2) + bytes((0xC1 | version << 1, 0, 0))
    return b"\0" + head + content + _checksum(head + content).to_bytes(4)


def _checksum(data: bytes) -> int:
    """The CRC of annex A."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte << 24
        for _ in range(8):
            crc = (crc << 1 ^ (0x04C11DB7 if crc & 0x80000000 else 0)) & 0xFFFFFFFF
    return crc
