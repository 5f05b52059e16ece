"""Reads MPEG-2 Transport Streams strictly (ISO/IEC 13818-1), and says what in them breaks a rule."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise

AVC, ADTS = 0x1B, 0x0F
MOST = (1 << 33) - 1
"""The largest time there is."""

MOST_APART = 9000
"""Ticks of 90 kHz between two clock references (2.7.2)."""


@dataclass
class Unit:
    """One packet of an elementary stream. Times are ticks of 90 kHz, 33 bits of them."""

    stream_type: int
    presented: int
    decoded: int
    random_access: bool
    data: bytes


@dataclass
class Program:
    """What one segment holds, in its order."""

    version: int = -1
    clock_pid: int = -1
    streams: dict[int, int] = field(default_factory=dict)
    """Stream type by PID."""
    units: list[Unit] = field(default_factory=list)
    clocks: list[int] = field(default_factory=list)

    def of(self, stream_type: int) -> list[Unit]:
        """The units of one kind."""
        return [unit for unit in self.units if unit.stream_type == stream_type]


@dataclass
class _Pes:
    pid: int
    random_access: bool
    data: bytearray


class Reader:
    """Reads the segments of one rendition in their order: packets are counted through all of them."""

    def __init__(self) -> None:
        self._counters: dict[int, int] = {}

    def read(self, data: bytes) -> Program:
        """Read one segment; asserts what holds for each."""
        assert len(data) % 188 == 0, "no whole packets"
        program = Program()
        begun: list[_Pes] = []
        for at in range(0, len(data), 188):
            self._packet(data[at : at + 188], at // 188, program, begun)
        program.units = [_unit(program.streams[pes.pid], pes) for pes in begun]
        assert program.streams, "no program map"
        gaps = [later - earlier & MOST for earlier, later in pairwise(program.clocks)]
        assert all(0 < gap <= MOST_APART for gap in gaps), (
            f"clock references {sorted(gaps)[:: len(gaps) - 1]}"
        )
        return program

    def _packet(self, packet: bytes, number: int, program: Program, begun: list[_Pes]) -> None:
        assert packet[0] == 0x47, f"packet {number} without sync byte"
        assert not packet[1] & 0xA0, "a transport error, or priority"
        starts, pid = bool(packet[1] & 0x40), (packet[1] & 0x1F) << 8 | packet[2]
        scrambled, control, counter = packet[3] >> 6, packet[3] >> 4 & 3, packet[3] & 0xF
        assert not scrambled
        assert control
        flags, payload = 0, packet[4:]
        if control & 2:
            length = packet[4]
            assert length == 183 if control == 2 else length <= 182
            flags, payload = (packet[5] if length else 0), packet[5 + length :]
            if flags & 0x10:
                assert pid == program.clock_pid
                reference = int.from_bytes(packet[6:12])
                program.clocks.append(reference >> 15)
                assert reference & 0x1FF == 0
        expected = self._counters.get(pid, counter - 1) + bool(control & 1) & 0xF
        assert flags & 0x80 or counter == expected, f"PID {pid:#x}: counter {counter}, not {expected}"
        self._counters[pid] = counter
        if number < 2:
            assert starts
            assert pid == (0, 0x1000)[number], "a segment begins with its tables"
            self._table(payload, program)
            return
        assert pid in program.streams, f"PID {pid:#x} is in no table"
        if starts:
            begun.append(_Pes(pid, bool(flags & 0x40), bytearray()))
        next(pes for pes in reversed(begun) if pes.pid == pid).data += payload

    def _table(self, payload: bytes, program: Program) -> None:
        assert payload[0] == 0
        section = payload[1:]
        length = int.from_bytes(section[1:3]) & 0xFFF
        section, stuffing = section[: 3 + length], section[3 + length :]
        assert set(stuffing) <= {0xFF}
        assert _remainder(section) == 0, "a checksum that is wrong"
        if section[0] == 0:
            assert section[8:12] == bytes.fromhex("0001f000"), "one program, described in PID 0x1000"
            return
        assert section[0] == 2
        program.version = section[5] >> 1 & 0x1F
        program.clock_pid = int.from_bytes(section[8:10]) & 0x1FFF
        rows = section[12:-4]
        for at in range(0, len(rows), 5):
            program.streams[int.from_bytes(rows[at + 1 : at + 3]) & 0x1FFF] = rows[at]


def _unit(stream_type: int, pes: _Pes) -> Unit:
    data = bytes(pes.data)
    assert data[:3] == b"\0\0\1"
    assert data[3] == {AVC: 0xE0, ADTS: 0xC0}[stream_type]
    length = int.from_bytes(data[4:6])
    assert length == len(data) - 6 or (length == 0 and stream_type == AVC)
    assert data[6] & 0xC4 == 0x84, "aligned to an access unit"
    flags, size = data[7], data[8]
    presented = _time(data[9:14], flags >> 6)
    decoded = _time(data[14:19], 1) if flags == 0xC0 else presented
    return Unit(stream_type, presented, decoded, pes.random_access, data[9 + size :])


def _time(data: bytes, prefix: int) -> int:
    value = int.from_bytes(data)
    assert value >> 36 == prefix
    assert value & 0x1_0001_0001 == 0x1_0001_0001, "marker bits"
    return (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | value >> 1 & 0x7FFF


def _remainder(section: bytes) -> int:
    """Of the division by the polynomial of annex A: 0 when the section ends with its checksum."""
    crc = 0xFFFFFFFF
    for bit in (byte >> shift & 1 for byte in section for shift in range(7, -1, -1)):
        crc = (crc << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if (crc >> 31) ^ bit else 0)
    return crc


def nal_types(data: bytes) -> list[int]:
    """The kinds of NAL units in a picture's byte stream (H.264, annex B)."""
    return [unit[0] & 0x1F for unit in data.split(b"\0\0\1")[1:]]


def frames(data: bytes) -> list[bytes]:
    """The frames of AAC in `data`, each with its ADTS header (ISO/IEC 14496-3, 1.A.2.2)."""
    found = []
    while data:
        assert data[:2] == b"\xff\xf1"
        length = (data[3] & 3) << 11 | data[4] << 3 | data[5] >> 5
        assert 7 <= length <= len(data)
        found.append(data[:length])
        data = data[length:]
    return found
