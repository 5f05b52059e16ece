"""Parts: cut from fragments of any length, never longer than they may be, with nothing lost."""

from __future__ import annotations

import itertools
import struct
from fractions import Fraction
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from appliance.media.package.fragment import TimedFragment, read_fragment
from appliance.media.package.mp4 import InitSection, Mp4Error, Splitter
from appliance.media.package.parts import SHORTEST, CutPart, PartCutter, fragment_seconds
from appliance.media.package.samples import split
from appliance.media.package.track import Track, read_track
from tests.unit.media.package.handmade import Mp4, pictures, sound

if TYPE_CHECKING:
    from collections.abc import Iterable

TARGET = Fraction(26, 100)


def fragments(mp4: Mp4, data: Iterable[bytes]) -> tuple[Track, list[TimedFragment]]:
    track, timed = None, []
    splitter = Splitter()
    for item in splitter.feed(mp4.init() + b"".join(data)):
        if isinstance(item, InitSection):
            track = read_track(item.data)
        else:
            assert track is not None
            read = read_fragment(item, track)
            end = read.decode + read.duration
            whole = item.prefix + item.moof + item.mdat
            timed.append(TimedFragment(read.decode, end, read.keyframe, read.samples, whole))
    assert track is not None
    return track, timed


def cut(track: Track, timed: list[TimedFragment], last: int | None = None) -> list[CutPart]:
    cutter = PartCutter(TARGET, track)
    found = [part for number, item in enumerate(timed) for part in cutter.add(item, last=number == last)]
    return [*found, *cutter.flush()]


def at_rate(mp4: Mp4, samples: Iterable[int]) -> tuple[Track, list[TimedFragment]]:
    return fragments(mp4, [mp4.fragment(count, keyframe=not at) for at, count in enumerate(samples)])


def lengths(parts: Iterable[CutPart]) -> list[float]:
    return [round(float(part.duration), 4) for part in parts]


def test_fragments_of_the_right_length_are_parts() -> None:
    track, timed = at_rate(Mp4(timescale=25, sample_ticks=1), [6, 6, 6])
    parts = cut(track, timed)
    assert [part.data for part in parts] == [item.data for item in timed]
    assert [part.independent for part in parts] == [True, False, False]


@pytest.mark.parametrize(
    "rate", ["24000/1001", "24", "25", "30000/1001", "30", "48", "50", "60000/1001", "60", "120"]
)
def test_every_usual_rate_has_a_number_of_frames_that_fits(rate: str) -> None:
    frame = 1 / Fraction(rate)
    # FFmpeg ends a fragment with the first frame that makes it as long as was asked for.
    count = -(-Fraction(fragment_seconds(float(TARGET))) // frame)
    assert SHORTEST * TARGET <= count * frame <= TARGET


def test_a_short_fragment_waits_unless_its_segment_ends() -> None:
    track, timed = at_rate(Mp4(timescale=25, sample_ticks=1), [6, 2, 4, 6])
    assert lengths(cut(track, timed)) == [0.24, 0.24, 0.24]
    assert lengths(cut(track, timed, last=1)) == [0.24, 0.08, 0.24, 0.16]


def test_a_long_fragment_is_cut_between_samples() -> None:
    mp4 = Mp4(timescale=25, sample_ticks=1)
    track, timed = fragments(mp4, [mp4.fragment(8, keyframe=True), mp4.fragment(4)])
    parts = cut(track, timed)
    assert lengths(parts) == [0.24, 0.24]
    assert [part.independent for part in parts] == [True, False]


def test_sound_is_never_held() -> None:
    track, timed = at_rate(sound(), [3, 3, 11])
    assert lengths(cut(track, timed)) == [0.064, 0.064, 0.2347]


def test_a_picture_that_stands_too_long_is_followed_by_gaps() -> None:
    mp4 = Mp4(timescale=25, sample_ticks=20)
    track, timed = fragments(mp4, [mp4.fragment(1, keyframe=True), mp4.fragment(1)])
    parts = cut(track, timed)
    assert lengths(parts) == [0.26, 0.26, 0.26, 0.02] * 2
    assert [part.data is None for part in parts] == [False, True, True, True] * 2
    assert not any(part.independent for part in parts if part.data is None)


def test_sizes_that_do_not_add_up_are_refused() -> None:
    mp4 = pictures()
    track, (item,) = fragments(mp4, [mp4.fragment(8, payload=80)])
    data = item.data.replace(struct.pack(">I4s", 88, b"mdat"), struct.pack(">I4s", 87, b"mdat"))[:-1]
    with pytest.raises(Mp4Error, match="sizes"):
        split(data, track, TARGET)


SAMPLES = st.lists(st.integers(1, 12), min_size=1, max_size=12)


@settings(max_examples=150)
@given(counts=SAMPLES, ticks=st.sampled_from([512, 614, 1300, 3000, 9000]), offsets=st.booleans())
def test_whatever_comes_nothing_is_lost_and_nothing_too_long(
    counts: list[int], ticks: int, offsets: bool
) -> None:
    mp4 = Mp4(timescale=15360, sample_ticks=ticks)
    made = [
        mp4.fragment(
            count, keyframe=not at, offsets=tuple(range(count)) if offsets else None, payload=7 * count
        )
        for at, count in enumerate(counts)
    ]
    track, timed = fragments(mp4, made)
    parts = cut(track, timed)
    assert all(0 < part.duration <= TARGET for part in parts)
    assert sum(part.duration for part in parts) == sum(item.duration for item in timed)
    kept = [part.data for part in parts if part.data is not None]
    _, again = fragments(Mp4(timescale=15360), kept)
    assert sum(item.samples for item in again) == sum(counts)
    # Each begins when what was before it ends, as it did before.
    assert all(later.start == earlier.end for earlier, later in itertools.pairwise(again))
    frame = Fraction(ticks, 15360)
    for part in parts[:-1]:
        if frame <= TARGET * (1 - SHORTEST):
            assert part.duration >= SHORTEST * TARGET
