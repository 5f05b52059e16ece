"""Clocks of a source: what is a jump, what is an offset, and where the run's time stands."""

from __future__ import annotations

import pytest

from appliance.media.encode.clock import MOST_APART_MS, JumpDetector, RunClock, milliseconds_since
from appliance.media.rtmp.chunks import Message, MessageType
from tests.unit.media.encode.messages import frame, sound


def _jumps(*messages: Message) -> list[int]:
    detector = JumpDetector(2000)
    return [step for message in messages if (step := detector.step(message)) is not None]


def test_timestamps_wrap() -> None:
    assert milliseconds_since(0xFFFFFFF0, 0x10) == 32
    assert milliseconds_since(0x10, 0xFFFFFFF0) == -32


@pytest.mark.parametrize("offset", [5000, -5000, 3_600_000])
def test_a_constant_offset_between_sound_and_picture_is_no_jump(offset: int) -> None:
    times = range(10_000_000, 10_060_000, 20)
    assert _jumps(*(each for at in times for each in (frame(at), sound(at + offset)))) == []


def test_one_clock_that_jumps_counts_once_for_both_tracks() -> None:
    before = [frame(0), sound(10), frame(33), sound(43)]
    assert _jumps(*before, frame(3_600_000), sound(3_600_010), frame(3_600_033)) == [3_599_967]


def test_sound_alone_that_jumps_counts_once() -> None:
    assert _jumps(frame(0), sound(10), frame(33), sound(5043), frame(66), sound(5076)) == [5033]


def test_a_track_that_paused_while_the_other_went_on_has_not_jumped() -> None:
    pause = [frame(at) for at in range(100, 30_000, 33)]
    assert _jumps(frame(0), sound(10), frame(33), sound(43), *pause, sound(30_010)) == []


def test_a_hole_in_both_tracks_is_a_jump() -> None:
    assert _jumps(frame(0), sound(10), frame(33), frame(9000), sound(9010)) == [8967]


def test_sound_is_played_where_its_timestamps_say() -> None:
    clock = RunClock(MessageType.VIDEO, 1000, 10_000)
    assert clock.read(frame(1000)) == 10_000
    assert clock.read(sound(6000)) == 15_000
    assert clock.read(frame(1033)) == 10_033
    assert clock.read(sound(6023)) == 15_023


@pytest.mark.parametrize("offset", [MOST_APART_MS + 1000, -MOST_APART_MS - 1000, 2**31 - 1])
def test_sound_of_another_clock_is_played_with_what_it_arrives_with(
    offset: int, caplog: pytest.LogCaptureFixture
) -> None:
    clock = RunClock(MessageType.VIDEO, 1000, 10_000)
    for at in range(1000, 5000, 20):
        assert clock.read(frame(at)) == at + 9000
        assert clock.read(sound((at + offset) % 2**32)) == at + 9000
    assert caplog.text.count("what arrives together is played together") == 1


def test_sound_that_stands_still_never_falls_far_behind() -> None:
    clock = RunClock(MessageType.VIDEO, 0, 10_000)
    for at in range(0, 60_000, 20):
        assert clock.read(frame(at)) - clock.read(sound(0)) <= MOST_APART_MS
