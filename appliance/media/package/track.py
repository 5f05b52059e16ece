"""What the ``moov`` of a single-track MP4 says about its track (ISO/IEC 14496-12, 14496-14, 14496-15)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from appliance.media.codec.codec_config import CodecConfigError, parse_audio_config
from appliance.media.package.mp4 import Box, Mp4Error, boxes, child

_VIDEO_ENTRY_BYTES = 78
_AUDIO_ENTRY_BYTES = 28


@dataclass(frozen=True, slots=True)
class Track:
    """Parameters
    ----------
    kind
        From the handler: ``vide`` or ``soun``.
    timescale
        Ticks a second, of every time in the fragments.
    codecs
        RFC 6381 text, for example ``avc1.64001f`` or ``mp4a.40.2``.
    width, height
        Display size in pixels, from ``tkhd`` (it includes the pixel aspect ratio); 0 for sound.
    channels
        Of sound, by its AudioSpecificConfig; 0 for pictures and where it does not say.
    config
        The AudioSpecificConfig itself; empty for pictures.
    default_duration, default_size, default_flags
        ``trex``: what a sample has where ``tfhd`` and ``trun`` say nothing (ticks, bytes, flags).
    """

    kind: Literal["video", "audio"]
    timescale: int
    codecs: str
    width: int
    height: int
    channels: int
    config: bytes
    default_duration: int
    default_size: int
    default_flags: int


def read_track(init: bytes) -> Track:
    """The one track of `init` (ftyp and moov).

    Raises Mp4Error when there is not exactly one, or its codec is neither AVC nor MPEG-4 audio.
    """
    try:
        return _read_track(init)
    except struct.error as error:
        raise Mp4Error(f"moov is cut short: {error}") from None


def _read_track(init: bytes) -> Track:
    moov = next((box for box in boxes(init) if box.kind == b"moov"), None)
    if moov is None:
        raise Mp4Error("no moov")
    traks = [box for box in boxes(init, moov.body, moov.end) if box.kind == b"trak"]
    if len(traks) != 1:
        raise Mp4Error(f"{len(traks)} tracks; the packager takes one track from each byte stream")
    mdia = child(init, traks[0], b"mdia")
    mdhd = child(init, mdia, b"mdhd")
    (timescale,) = struct.unpack_from(">I", init, mdhd.body + (20 if init[mdhd.body] == 1 else 12))
    if timescale == 0:
        raise Mp4Error("a timescale of 0")
    handler = bytes(init[child(init, mdia, b"hdlr").body + 8 :][:4])
    kinds: dict[bytes, Literal["video", "audio"]] = {b"vide": "video", b"soun": "audio"}
    if handler not in kinds:
        raise Mp4Error(f"a track of handler {handler!r}; known are vide and soun")
    tkhd = child(init, traks[0], b"tkhd")
    width, height = struct.unpack_from(">II", init, tkhd.end - 8)
    trex = child(init, moov, b"mvex", b"trex")
    duration, size, flags = struct.unpack_from(">III", init, trex.body + 12)
    codecs, channels, config = _codecs(init, child(init, mdia, b"minf", b"stbl", b"stsd"))
    return Track(
        kind=kinds[handler],
        timescale=timescale,
        codecs=codecs,
        # 16.16 fixed point, rounded.
        width=width + 0x8000 >> 16,
        height=height + 0x8000 >> 16,
        channels=channels,
        config=config,
        default_duration=duration,
        default_size=size,
        default_flags=flags,
    )


def _codecs(init: bytes, stsd: Box) -> tuple[str, int, bytes]:
    """RFC 6381 text, number of sound channels and AudioSpecificConfig of the first sample entry."""
    entry = next(boxes(init, stsd.body + 8, stsd.end), None)
    if entry is None:
        raise Mp4Error("no sample entry")
    if entry.kind in (b"avc1", b"avc3"):
        inner = Box(entry.kind, entry.start, entry.body + _VIDEO_ENTRY_BYTES, entry.end)
        avcc = child(init, inner, b"avcC")
        # AVCDecoderConfigurationRecord: version, then profile, compatibility, level (14496-15, 5.3.3.1).
        return f"{entry.kind.decode()}.{init[avcc.body + 1 : avcc.body + 4].hex()}", 0, b""
    if entry.kind == b"mp4a":
        inner = Box(entry.kind, entry.start, entry.body + _AUDIO_ENTRY_BYTES, entry.end)
        esds = child(init, inner, b"esds")
        return _mp4a(init[esds.body + 4 : esds.end])
    raise Mp4Error(f"codec {entry.kind!r}; the packager knows avc1, avc3 and mp4a")


def _mp4a(descriptors: bytes) -> tuple[str, int, bytes]:
    """``mp4a.OTI[.AOT]``, channels and AudioSpecificConfig of an ES_Descriptor (14496-1, 7.2.6.5)."""
    tag, body = _descriptor(descriptors)
    if tag != 3 or len(body) < 4:
        raise Mp4Error(f"esds begins with descriptor {tag}, not an ES_Descriptor")
    flags = body[2]
    skip = 3 + (2 if flags & 0x80 else 0) + (1 + body[3] if flags & 0x40 else 0) + (2 if flags & 0x20 else 0)
    tag, config = _descriptor(body[skip:])
    if tag != 4 or not config:
        raise Mp4Error(f"descriptor {tag} where a DecoderConfigDescriptor belongs")
    text = f"mp4a.{config[0]:02x}"
    if config[0] != 0x40:
        return text, 0, b""
    tag, specific = _descriptor(config[13:])
    if tag != 5:
        raise Mp4Error("MPEG-4 audio without an AudioSpecificConfig")
    try:
        audio = parse_audio_config(specific)
    except CodecConfigError as error:
        raise Mp4Error(str(error)) from None
    return f"{text}.{audio.object_type}", audio.channels, specific


def _descriptor(data: bytes) -> tuple[int, bytes]:
    """Tag and content of the descriptor at the start of `data` (14496-1, 8.3.3)."""
    size, at = 0, 1
    while True:
        if at >= len(data):
            raise Mp4Error("a descriptor is cut short")
        size = size << 7 | data[at] & 0x7F
        at += 1
        if not data[at - 1] & 0x80:
            return data[0], data[at : at + size]
