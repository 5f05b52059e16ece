"""Boxes, tracks and fragments."""

from __future__ import annotations

import struct
from contextlib import suppress
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.package import samples
from appliance.media.package.fragment import read_fragment
from appliance.media.package.mp4 import InitSection, Mp4Error, RawFragment, Splitter
from appliance.media.package.track import read_track
from tests.unit.media.package.handmade import Mp4, box, pictures, sound


def split(data: bytes, cuts: list[int]) -> list[InitSection | RawFragment]:
    splitter = Splitter()
    places = [0, *sorted(cuts), len(data)]
    return [item for begin, end in pairwise(places) for item in splitter.feed(data[begin:end])]


def stream() -> bytes:
    mp4 = pictures()
    return mp4.init() + mp4.seconds(3) + box(b"styp", b"msdh") + mp4.fragment()


STREAM = stream()


@given(st.lists(st.integers(0, len(STREAM)), max_size=40))
def test_cuts_make_no_difference(cuts: list[int]) -> None:
    assert split(STREAM, cuts) == split(STREAM, [])


def test_every_single_byte() -> None:
    items = split(STREAM, list(range(len(STREAM))))
    assert len(items) == 1 + 12 + 1
    assert isinstance(items[-1], RawFragment)
    assert items[-1].prefix == box(b"styp", b"msdh")


def test_box_with_a_64_bit_size() -> None:
    mp4 = Mp4()
    content = b"x" * 10
    large = struct.pack(">I4sQ", 1, b"mdat", 16 + len(content)) + content
    moof = mp4.fragment(10)[: -(8 + 100)]
    *_, last = split(mp4.init() + moof + large, [])
    assert isinstance(last, RawFragment)
    assert last.mdat == large


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack(">I4s", 4, b"moov"), "claims a size of 4"),
        (struct.pack(">I4s", 0, b"mdat"), "claims a size of 0"),
        (struct.pack(">I4s", 0x7FFFFFFF, b"mdat"), "at most"),
        (box(b"moof"), "before the moov"),
        (Mp4().init() + box(b"moof") + box(b"moof"), "between a moof and its mdat"),
        (Mp4().init() + box(b"what"), "unexpected box"),
        (b"this is not an MP4 but a long text about something else", "at most"),
    ],
)
def test_refused(data: bytes, says: str) -> None:
    with pytest.raises(Mp4Error, match=says):
        list(Splitter().feed(data))


@given(st.binary(max_size=200))
def test_garbage_never_raises_anything_else(data: bytes) -> None:
    try:
        for item in Splitter().feed(data):
            assert item
    except Mp4Error:
        pass


@given(st.data())
def test_broken_boxes_never_raise_anything_else(data: st.DataObject) -> None:
    mp4 = data.draw(st.sampled_from([pictures(), sound()]))
    init, fragment = bytearray(mp4.init()), bytearray(mp4.fragment(4, keyframe=True, offsets=(0, 5, -5, 0)))
    track = read_track(bytes(init))
    for target in (init, fragment):
        for _ in range(data.draw(st.integers(0, 3))):
            target[data.draw(st.integers(0, len(target) - 1))] = data.draw(st.integers(0, 255))
    with suppress(Mp4Error):
        read_track(bytes(init))
    moof_size = len(fragment) - 108
    with suppress(Mp4Error):
        read = read_fragment(RawFragment(b"", bytes(fragment[:moof_size]), b""), track)
        read.moved(0, read.reorder)
    with suppress(Mp4Error):
        samples.split(bytes(fragment), track, Fraction(1, 10))


@pytest.mark.parametrize(
    ("boxes", "why"),
    [
        (box(b"trun", struct.pack(">II", 0, 1_000_000)) + box(b"tfdt", bytes(8)), "claims 1000000 samples"),
        (3 * box(b"trun", struct.pack(">II", 0, 9_000)) + box(b"tfdt", bytes(8)), "claims 27000 samples"),
        (box(b"trun", struct.pack(">II", 0, 0)) + box(b"tfdt", bytes(8)), "without samples"),
        (box(b"trun", struct.pack(">II", 0, 1)) + box(b"tfdt", b""), "malformed"),
    ],
)
def test_a_fragment_that_cannot_be_is_refused(boxes: bytes, why: str) -> None:
    track = read_track(pictures().init())
    moof = box(b"moof", box(b"mfhd", bytes(8)) + box(b"traf", box(b"tfhd", bytes(8)) + boxes))
    with pytest.raises(Mp4Error, match=why):
        read_fragment(RawFragment(b"", moof, box(b"mdat", b"")), track)
    with pytest.raises(Mp4Error):
        samples.split(moof + box(b"mdat", b"x"), track, Fraction(1, 10))


def test_video_track() -> None:
    track = read_track(Mp4(timescale=30000, width=1920, height=1080).init())
    assert (track.kind, track.codecs, track.timescale) == ("video", "avc1.64001e", 30000)
    assert (track.width, track.height, track.channels) == (1920, 1080, 0)


def test_audio_track() -> None:
    track = read_track(sound().init())
    assert (track.kind, track.codecs, track.channels) == ("audio", "mp4a.40.2", 2)


def test_unknown_codec_is_named() -> None:
    with pytest.raises(Mp4Error, match="hev1"):
        read_track(Mp4().init().replace(b"avc1", b"hev1"))


def test_two_tracks_are_refused() -> None:
    moov = Mp4().init()[12 + 8 :]
    trak = moov[: struct.unpack(">I", moov[:4])[0]]
    with pytest.raises(Mp4Error, match="2 tracks"):
        read_track(box(b"moov", trak, moov))


def raw(data: bytes) -> RawFragment:
    size = struct.unpack(">I", data[:4])[0]
    return RawFragment(b"", data[:size], data[size:])


def test_fragment_of_pictures() -> None:
    mp4 = pictures()
    track = read_track(mp4.init())
    first = read_fragment(
        raw(mp4.fragment(8, keyframe=True, offsets=(0, 1000, -500, -500, 0, 0, 0, 0))), track
    )
    second = read_fragment(raw(mp4.fragment(8)), track)
    assert (first.decode, first.duration) == (Fraction(0), Fraction(1, 4))
    assert (first.samples, first.keyframe) == (8, True)
    assert first.reorder == 500
    assert (second.decode, second.keyframe, second.reorder) == (Fraction(1, 4), False, 0)


def test_sound_may_begin_before_zero() -> None:
    mp4 = sound()
    track = read_track(mp4.init())
    fragment = read_fragment(raw(mp4.fragment(12)), track)
    assert fragment.decode == Fraction(-1024, 48000)
    assert fragment.keyframe
    with pytest.raises(Mp4Error, match="decode time of -1024"):
        fragment.moved(0, 0)
    moved = read_fragment(raw(fragment.moved(48000, 0)), track)
    assert moved.decode == fragment.decode + 1


def test_without_composition_offsets_there_is_nothing_to_reorder() -> None:
    mp4 = pictures()
    track = read_track(mp4.init())
    fragment = read_fragment(raw(mp4.fragment(8, keyframe=True)), track)
    moved = read_fragment(raw(fragment.moved(16000, 1000)), track)
    assert (moved.decode, moved.composition) == (Fraction(1), Fraction(0))


@given(st.lists(st.integers(-2000, 2000), min_size=1, max_size=20), st.integers(0, 5000))
def test_moving_keeps_every_presentation_time(offsets: list[int], reorder: int) -> None:
    mp4 = pictures()
    track = read_track(mp4.init())
    data = mp4.fragment(len(offsets), keyframe=True, offsets=tuple(offsets))
    before = read_fragment(raw(data), track)
    after = read_fragment(raw(before.moved(16000, reorder)), track)
    assert after.decode == before.decode + 1 - Fraction(reorder, 16000)
    assert after.decode + after.composition == before.decode + before.composition + 1
    assert (after.duration, after.samples, after.keyframe) == (before.duration, before.samples, True)
    assert after.reorder == max(0, before.reorder - reorder)
