"""From samples of fragmented MP4 to what a Transport Stream carries."""

from __future__ import annotations

import struct
from dataclasses import replace

import pytest

from appliance.media.package.access_units import access_units
from appliance.media.package.mp4 import Mp4Error
from appliance.media.package.track import Track, read_track
from tests.support.transport_stream import frames, nal_types
from tests.unit.media.package.handmade import Mp4, pictures, sound

VIDEO, AUDIO = read_track(pictures().init()), read_track(sound().init())


def with_payload(track: Mp4, payload: bytes) -> bytes:
    """A fragment of one sample, `payload`."""
    made = track.fragment(1, keyframe=track.video, payload=len(payload))
    return made[: -len(payload)] + payload


def nal(kind: int, size: int) -> bytes:
    return struct.pack(">IB", size, kind) + b"x" * (size - 1)


def test_pictures_get_start_codes_and_a_delimiter() -> None:
    sample = nal(0x67, 9) + nal(0x68, 4) + nal(0x65, 300)
    (unit,) = access_units(with_payload(pictures(), sample), VIDEO)
    assert unit.data == (
        b"\0\0\0\1\x09\xf0\0\0\0\1" + sample[4:13] + b"\0\0\0\1" + sample[17:21] + b"\0\0\0\1" + sample[25:]
    )
    assert unit.keyframe


def test_a_picture_with_a_delimiter_gets_no_other() -> None:
    (unit,) = access_units(with_payload(pictures(), nal(9, 2) + nal(0x65, 20)), VIDEO)
    assert nal_types(unit.data) == [9, 5]


def test_times_are_those_of_the_fragment() -> None:
    track = replace(pictures(), time=16_000)
    units = access_units(track.fragment(3, keyframe=True, offsets=(1000, 2000, 0)), VIDEO)
    assert [item.decoded for item in units] == [90_000, 90_000 + 2813, 90_000 + 5625]
    assert [item.presented - item.decoded for item in units] == [5625, 11_250, 0]
    assert [item.keyframe for item in units] == [True, False, False]


def test_sound_gets_headers() -> None:
    units = access_units(replace(sound(), time=48_000).fragment(3, payload=300), AUDIO)
    assert [item.decoded for item in units] == [90_000, 91_920, 93_840]
    # MPEG-4, no checksum; LC, 48 kHz, two channels, 107 bytes, one frame.
    assert [item.data for item in units] == [bytes.fromhex("fff14c800d7ffc") + b"m" * 100] * 3
    assert len(frames(b"".join(item.data for item in units))) == 3


@pytest.mark.parametrize(
    ("track", "known", "payload", "reason"),
    [
        (pictures(), VIDEO, nal(0x65, 20) + b"\0\0", "do not fill"),
        (pictures(), VIDEO, b"\0\0\1\0" + b"x" * 20, "do not fill"),
        (pictures(), VIDEO, b"\0\0\0\0\0", "do not fill"),
        (sound(), AUDIO, b"x" * 8185, "8185 bytes does not fit into ADTS"),
        (sound(), replace(AUDIO, config=bytes.fromhex("2b118800")), b"x", "2b118800 does not fit into ADTS"),
        (sound(), replace(AUDIO, config=b""), b"x", "does not fit into ADTS"),
    ],
)
def test_what_cannot_be_carried_is_refused(track: Mp4, known: Track, payload: bytes, reason: str) -> None:
    with pytest.raises(Mp4Error, match=reason):
        access_units(with_payload(track, payload), known)
