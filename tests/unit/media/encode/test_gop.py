"""The frames a new FFmpeg begins with."""

from __future__ import annotations

from appliance.media.encode import gop
from appliance.media.encode.gop import GopBuffer
from appliance.media.rtmp.chunks import Message, MessageType
from tests.unit.media.encode.messages import frame, keyframe, sound


def _buffer(*messages: Message, video: bool = True) -> list[int]:
    buffer = GopBuffer(video=video)
    for message in messages:
        buffer.add(message, 0.0)
    return [arrival.message.timestamp for arrival in buffer.replay()]


def test_it_begins_with_the_last_keyframe() -> None:
    assert _buffer(keyframe(0), sound(5), frame(40), keyframe(80), sound(85), frame(120)) == [80, 85, 120]


def test_sound_that_came_early_but_is_heard_later_belongs_to_the_keyframe() -> None:
    assert _buffer(keyframe(0), sound(70), sound(90), keyframe(80)) == [90, 80]


def test_nothing_before_the_first_keyframe() -> None:
    assert _buffer(sound(0), frame(10), sound(20)) == []


def test_without_video_it_holds_two_seconds_of_sound() -> None:
    assert _buffer(*(sound(at) for at in range(0, 10_000, 500)), video=False)[0] == 7500


def test_its_size_is_bounded() -> None:
    big = Message(MessageType.VIDEO, 40, b"\x27\x01\0\0\0" + bytes(gop.MAX_BYTES))
    assert _buffer(keyframe(0), big) == []


def test_its_size_is_bounded_while_timestamps_stand_still() -> None:
    buffer = GopBuffer(video=False)
    big = Message(MessageType.AUDIO, 7, b"\xaf\x01" + bytes(300_000))
    for _ in range(10):
        buffer.add(big, 0.0)
    assert 1 <= len(buffer.replay()) < 4
    buffer = GopBuffer(video=False)
    for _ in range(20_000):
        buffer.add(sound(7), 0.0)
    assert len(buffer.replay()) < 5000


def test_its_size_is_bounded_where_empty_frames_stand_still() -> None:
    buffer = GopBuffer()
    buffer.add(keyframe(0), 0.0)
    for _ in range(gop.MAX_BYTES // 250):
        buffer.add(frame(0), 0.0)
    assert len(buffer.replay()) < 1000


def test_sound_of_another_clock_is_not_kept_for_ever() -> None:
    assert _buffer(keyframe(0), sound(3_600_000), keyframe(2000)) == [2000]
