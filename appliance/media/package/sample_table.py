"""What a fragment says of its samples, and where (ISO/IEC 14496-12, 8.8.7 ``tfhd``, 8.8.8 ``trun``)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.package.mp4 import Box, Mp4Error

if TYPE_CHECKING:
    from appliance.media.package.track import Track

NON_SYNC: Final = 0x0001_0000
"""sample_is_non_sync_sample (8.8.3.1)."""

DURATION: Final = 0x100
SIZE: Final = 0x200
FLAGS: Final = 0x400
OFFSET: Final = 0x800
"""What a ``trun`` may say of each sample, in the order in which it does."""

_MOST_SAMPLES: Final = 10_000
"""Of one fragment. Where a ``trun`` says nothing of each, its length does not bound their number; a second of
sound has 47."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What a sample has where its ``trun`` says nothing: ticks, bytes, flags."""

    duration: int
    size: int
    flags: int


@dataclass(frozen=True, slots=True)
class SampleTable:
    """One ``trun``: of each of `count` samples it says `fields`, from the place `at` on.

    first_flags: what it says of the first one alone.
    """

    count: int
    fields: tuple[int, ...]
    first_flags: int | None
    at: int

    def column(self, field: int) -> range:
        """The places of `field` (one of `fields`), a sample after the other."""
        begin, stride = self.at + 4 * self.fields.index(field), 4 * len(self.fields)
        return range(begin, begin + stride * self.count, stride)


def read_defaults(moof: bytes, tfhd: Box, track: Track) -> Defaults:
    """``tfhd`` over ``trex`` (8.8.7). Raises struct.error when it is cut short."""
    present = struct.unpack_from(">I", moof, tfhd.body)[0] & 0xFFFFFF
    at = tfhd.body + 8
    values = {0x8: track.default_duration, 0x10: track.default_size, 0x20: track.default_flags}
    for flag, size in ((0x1, 8), (0x2, 4), (0x8, 4), (0x10, 4), (0x20, 4)):
        if present & flag:
            values[flag] = int.from_bytes(moof[at : at + size], "big")
            at += size
    return Defaults(values[0x8], values[0x10], values[0x20])


def read_table(moof: bytes, trun: Box) -> SampleTable:
    """What `trun` says (8.8.8). Raises Mp4Error or struct.error when it is cut short."""
    present = struct.unpack_from(">I", moof, trun.body)[0] & 0xFFFFFF
    (count,) = struct.unpack_from(">I", moof, trun.body + 4)
    at = trun.body + 8 + (4 if present & 0x1 else 0)
    first_flags = None
    if present & 0x4:
        (first_flags,) = struct.unpack_from(">I", moof, at)
        at += 4
    fields = tuple(field for field in (DURATION, SIZE, FLAGS, OFFSET) if present & field)
    if at + 4 * len(fields) * count > trun.end:
        raise Mp4Error(f"a trun of {count} samples is cut short")
    check_count(count)
    return SampleTable(count, fields, first_flags, at)


def check_count(samples: int) -> None:
    """Raises Mp4Error when one fragment cannot have so many samples."""
    if samples > _MOST_SAMPLES:
        raise Mp4Error(f"a fragment claims {samples} samples; allowed are {_MOST_SAMPLES}")
