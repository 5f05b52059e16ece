"""Samples of fragmented MP4 as the access units of an MPEG-2 Transport Stream (ISO/IEC 13818-1, 2.14).

Pictures become byte streams (ITU-T H.264, annex B), each after its access unit delimiter, which Transport
Streams need and MP4 leaves out. Their parameter sets are in front of each keyframe already: FFmpeg is told to
repeat them there. Frames of AAC get the header that MP4 keeps in its init section (ADTS, ISO/IEC 14496-3,
1.A.2.2).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.package.mp4 import Box, Mp4Error, boxes
from appliance.media.package.samples import read_samples

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.media.package.track import Track

CLOCK: Final = 90_000
"""Ticks a second of presentation and decoding times (13818-1, 2.4.3.7)."""

_START_CODE: Final = b"\0\0\0\1"
_DELIMITER: Final = 9  # nal_unit_type (H.264, table 7-1)
_ANY_PICTURE: Final = _START_CODE + bytes((_DELIMITER, 0xF0))
"""An access unit delimiter that promises nothing of its slices (primary_pic_type 7, 7.4.2.4)."""

_ADTS_BYTES: Final = 7
_LONGEST_ADTS: Final = (1 << 13) - 1
_OBJECT_TYPES: Final = range(1, 5)
"""What the two bits of an ADTS profile can say: Main, LC, SSR and LTP."""


@dataclass(frozen=True, slots=True)
class AccessUnit:
    """One picture, or one frame of sound. Times are ticks of `CLOCK`."""

    presented: int
    decoded: int
    keyframe: bool
    data: bytes


def access_units(fragment: bytes, track: Track) -> tuple[AccessUnit, ...]:
    """What `fragment`, of the track `track`, holds; empty samples are left out.

    Raises Mp4Error when its sizes do not add up, or ADTS cannot carry its sound.
    """
    convert = _byte_stream if track.kind == "video" else _adts(track.config)
    units: list[AccessUnit] = []
    moof: Box | None = None
    for box in boxes(fragment):
        if box.kind == b"moof":
            moof = box
        elif box.kind == b"mdat" and moof is not None:
            units += _units(fragment, moof, box, track, convert)
    return tuple(units)


def _units(
    fragment: bytes, moof: Box, mdat: Box, track: Track, convert: Callable[[bytes], bytes]
) -> list[AccessUnit]:
    time, samples = read_samples(fragment, moof, track)
    if sum(sample.size for sample in samples) != mdat.end - mdat.body:
        raise Mp4Error("the samples' sizes are not those of the mdat")
    units, at = [], mdat.body
    for sample in samples:
        if sample.size:
            decoded = _ticks(time, track.timescale)
            presented = max(decoded, _ticks(time + sample.offset, track.timescale))
            data = convert(fragment[at : at + sample.size])
            units.append(AccessUnit(presented, decoded, sample.keyframe, data))
        time += sample.duration
        at += sample.size
    return units


def _ticks(time: int, timescale: int) -> int:
    return (2 * time * CLOCK + timescale) // (2 * timescale)


def _byte_stream(sample: bytes) -> bytes:
    """NAL units with start codes instead of their lengths, which FFmpeg writes in four bytes."""
    stream, at = bytearray(sample), 0
    while at + 4 < len(stream):
        size = int.from_bytes(stream[at : at + 4])
        stream[at : at + 4] = _START_CODE
        at += 4 + size
    if at != len(stream):
        raise Mp4Error("a picture's NAL units do not fill its sample")
    return bytes(stream) if stream[4] & 0x1F == _DELIMITER else _ANY_PICTURE + stream


def _adts(config: bytes) -> Callable[[bytes], bytes]:
    """Puts an ADTS header in front of a frame of AAC with the AudioSpecificConfig `config`."""
    start = int.from_bytes(config[:2])
    object_type, rate, channels = start >> 11, start >> 7 & 0xF, start >> 3 & 0xF
    if object_type not in _OBJECT_TYPES or rate == 0xF or channels > 7:
        raise Mp4Error(f"AAC of the configuration {config.hex()} does not fit into ADTS")

    def framed(sample: bytes) -> bytes:
        length = _ADTS_BYTES + len(sample)
        if length > _LONGEST_ADTS:
            raise Mp4Error(f"a frame of AAC of {len(sample)} bytes does not fit into ADTS")
        # Sync word, MPEG-4, no checksum; then profile, rate, channels, length, "variable rate", one frame.
        header = 0xFFF1 << 40 | object_type - 1 << 38 | rate << 34 | channels << 30
        return (header | length << 13 | 0x7FF << 2).to_bytes(_ADTS_BYTES) + sample

    return framed
