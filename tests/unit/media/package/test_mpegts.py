"""Transport Streams: what was muxed is read back, whatever its sizes and times are."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from appliance.media.package.access_units import AccessUnit
from appliance.media.package.mpegts import TransportStream
from tests.support.transport_stream import ADTS, AVC, Reader

FRAME, SOUND = 3000, 1920
# Around one, two and three packets, with and without a field in front, and beyond what a length can say.
SIZES = st.one_of(st.integers(1, 600), st.sampled_from([5_000, 65_520, 65_530, 65_540, 70_000]))


def unit(decoded: int, size: int = 100, *, keyframe: bool = False, offset: int = 0) -> AccessUnit:
    return AccessUnit(decoded + offset, decoded, keyframe, bytes(number % 251 for number in range(size)))


def pictures(count: int, start: int = 90_000, size: int = 100) -> list[AccessUnit]:
    return [unit(start + FRAME * number, size, keyframe=number == 0) for number in range(count)]


def sound(count: int, start: int = 90_000) -> list[AccessUnit]:
    return [unit(start + SOUND * number, keyframe=True) for number in range(count)]


@given(
    sizes=st.lists(SIZES, min_size=1, max_size=20),
    offsets=st.lists(st.sampled_from([0, FRAME, 3 * FRAME]), min_size=20, max_size=20),
    audio=st.lists(st.integers(1, 600), max_size=20),
)
def test_what_was_muxed_is_read_back(sizes: list[int], offsets: list[int], audio: list[int]) -> None:
    images = [
        unit(90_000 + FRAME * at, size, keyframe=at == 0, offset=offsets[at]) for at, size in enumerate(sizes)
    ]
    frames = [unit(90_000 + SOUND * at, size, keyframe=True) for at, size in enumerate(audio)]
    program = Reader().read(TransportStream(video=True, audio=True).segment(images, frames))
    read = [(item.presented, item.decoded, item.random_access, item.data) for item in program.of(AVC)]
    assert read == [(item.presented, item.decoded, item.keyframe, item.data) for item in images]
    assert b"".join(item.data for item in program.of(ADTS)) == b"".join(item.data for item in frames)
    assert [item.presented for item in program.of(ADTS)] == [item.presented for item in frames[::4]]


def test_a_segment_begins_with_its_picture_whenever_the_sound_does() -> None:
    early = sound(20, start=90_000 - 4000)
    program = Reader().read(TransportStream(video=True, audio=True).segment(pictures(10), early))
    assert (program.units[0].stream_type, program.units[0].random_access) == (AVC, True)
    assert [item.decoded for item in program.units[1:]] == sorted(item.decoded for item in program.units[1:])


def test_packets_are_counted_through_all_segments() -> None:
    stream, reader = TransportStream(video=True, audio=True), Reader()
    for number in range(5):
        start = 90_000 * (number + 1)
        reader.read(stream.segment(pictures(7, start), sound(9, start)))


def test_another_run_says_that_its_counters_begin_anew() -> None:
    reader = Reader()
    for number in range(3):
        stream = TransportStream(video=True, audio=True)
        reader.read(stream.segment(pictures(3 + number), sound(5 + number)))


def test_a_player_has_time_to_receive_what_it_decodes() -> None:
    program = Reader().read(TransportStream(video=True, audio=True).segment(pictures(60), sound(90)))
    assert program.clocks == [item.decoded - 45_000 for item in program.of(AVC)]


def test_references_to_the_clock_stand_closer_than_pictures_may() -> None:
    slow = [unit(90_000 * number, keyframe=True) for number in (1, 2, 3)]
    for frames in ([], sound(90)):
        program = Reader().read(TransportStream(video=True, audio=True).segment(slow, frames))
        assert max(later - earlier for earlier, later in pairwise(program.clocks)) == 9000


def test_sound_alone_has_the_clock() -> None:
    program = Reader().read(TransportStream(video=False, audio=True).segment([], sound(94)))
    assert list(program.streams.values()) == [ADTS]
    assert program.units[0].random_access
    assert len(program.clocks) == len(program.units) == 24


def test_what_describes_the_program_has_a_version_of_its_own() -> None:
    made = [
        TransportStream(video=True, audio=True).segment(pictures(1), sound(1)),
        TransportStream(video=True, audio=False).segment(pictures(1), []),
        TransportStream(video=False, audio=True).segment([], sound(1)),
    ]
    programs = [Reader().read(data) for data in made]
    assert [sorted(item.streams.values()) for item in programs] == [[ADTS, AVC], [AVC], [ADTS]]
    assert len({item.version for item in programs}) == 3


def test_times_go_on_after_26_hours() -> None:
    last = 1 << 33
    images = pictures(6, start=last - 3 * FRAME + 45_000)
    program = Reader().read(TransportStream(video=True, audio=False).segment(images, []))
    assert [item.decoded for item in program.of(AVC)] == [item.decoded % last for item in images]
