"""A fragment's samples, and cutting it in two between them (ISO/IEC 14496-12, 8.8).

FFmpeg's fragments become parts as they are. Only where a source leaves pictures out, or its frames do not
divide the part, one of them is longer than a part may be.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.media.package.mp4 import Box, Mp4Error, boxes, child, parsing
from appliance.media.package.sample_table import (
    DURATION,
    FLAGS,
    NON_SYNC,
    OFFSET,
    SIZE,
    check_count,
    read_defaults,
    read_table,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.package.track import Track


@dataclass(frozen=True, slots=True)
class Piece:
    """A fragment of its own: `duration` seconds, `samples` of them, beginning with a `keyframe` or not."""

    data: bytes
    duration: Fraction
    samples: int
    keyframe: bool


@dataclass(frozen=True, slots=True)
class Sample:
    """What a fragment says of one sample: ticks, bytes, flags (8.8.3.1), ticks from decoding to showing."""

    duration: int
    size: int
    flags: int
    offset: int

    @property
    def keyframe(self) -> bool:
        """Whether it is a sync sample."""
        return not self.flags & NON_SYNC


def read_samples(data: bytes, moof: Box, track: Track) -> tuple[int, list[Sample]]:
    """The decode time (ticks) of the first sample of `moof` in `data`, and all samples.

    Raises Mp4Error when it is cut short.
    """
    with parsing("moof"):
        traf = child(data, moof, b"traf")
        tfhd, tfdt = child(data, traf, b"tfhd"), child(data, traf, b"tfdt")
        (time,) = struct.unpack_from(">Q" if data[tfdt.body] == 1 else ">I", data, tfdt.body + 4)
        return time, _samples(data, traf, tfhd, track)


def split(data: bytes, track: Track, longest: Fraction) -> tuple[Piece, Piece | None]:
    """The first samples of the fragment `data` that last `longest` seconds at most, and the rest.

    The first piece has at least one sample, however long that is; the second is None when nothing is left.
    Raises Mp4Error when the fragment's sizes do not add up.
    """
    with parsing("a fragment"):
        return _split(data, track, longest)


def _split(data: bytes, track: Track, longest: Fraction) -> tuple[Piece, Piece | None]:
    moof, mdat = _moof_and_mdat(data)
    time, samples = read_samples(data, moof, track)
    if not samples:
        raise Mp4Error("a fragment without samples")
    (sequence,) = struct.unpack_from(">I", data, child(data, moof, b"mfhd").body + 4)
    (track_id,) = struct.unpack_from(">I", data, child(data, moof, b"traf", b"tfhd").body + 4)
    payload = data[mdat.body : mdat.end]
    if sum(sample.size for sample in samples) != len(payload):
        raise Mp4Error("the samples' sizes are not those of the mdat")
    ticks, count = samples[0].duration, 1
    while count < len(samples) and Fraction(ticks + samples[count].duration, track.timescale) <= longest:
        ticks += samples[count].duration
        count += 1
    size = sum(sample.size for sample in samples[:count])
    fragment = _Header(sequence, track_id, track.timescale)
    head = fragment.piece(time, samples[:count], payload[:size])
    head = replace(head, data=data[: moof.start] + head.data)
    if count == len(samples):
        return head, None
    return head, fragment.piece(time + ticks, samples[count:], payload[size:])


def _moof_and_mdat(data: bytes) -> tuple[Box, Box]:
    found = {box.kind: box for box in boxes(data)}
    if b"moof" not in found or b"mdat" not in found:
        raise Mp4Error("a fragment without moof or mdat")
    return found[b"moof"], found[b"mdat"]


def _samples(data: bytes, traf: Box, tfhd: Box, track: Track) -> list[Sample]:
    default = read_defaults(data, tfhd, track)
    found: list[Sample] = []
    for trun in boxes(data, traf.body, traf.end):
        if trun.kind != b"trun":
            continue
        table = read_table(data, trun)
        check_count(len(found) + table.count)
        at = table.at
        for number in range(table.count):
            values = {DURATION: default.duration, SIZE: default.size, FLAGS: default.flags, OFFSET: 0}
            for field in table.fields:
                (values[field],) = struct.unpack_from(">i" if field == OFFSET else ">I", data, at)
                at += 4
            if number == 0 and table.first_flags is not None:
                values[FLAGS] = table.first_flags
            found.append(Sample(values[DURATION], values[SIZE], values[FLAGS], values[OFFSET]))
    return found


@dataclass(frozen=True, slots=True)
class _Header:
    sequence: int
    track_id: int
    timescale: int

    def piece(self, time: int, samples: Sequence[Sample], payload: bytes) -> Piece:
        mfhd = _box(b"mfhd", struct.pack(">II", 0, self.sequence))
        # default-base-is-moof: offsets count from the moof, which is what CMAF asks for.
        tfhd = _box(b"tfhd", struct.pack(">II", 0x020000, self.track_id))
        tfdt = _box(b"tfdt", struct.pack(">IQ", 0x01000000, time))
        rows = b"".join(struct.pack(">IIIi", s.duration, s.size, s.flags, s.offset) for s in samples)
        # The headers of moof and traf, and of trun with its three words; then the mdat's.
        offset = 8 + len(mfhd) + 8 + len(tfhd) + len(tfdt) + 8 + 12 + len(rows) + 8
        trun = _box(b"trun", struct.pack(">III", 0x01000F01, len(samples), offset) + rows)
        moof = _box(b"moof", mfhd + _box(b"traf", tfhd + tfdt + trun))
        return Piece(
            moof + _box(b"mdat", payload),
            Fraction(sum(sample.duration for sample in samples), self.timescale),
            len(samples),
            samples[0].keyframe,
        )


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content
