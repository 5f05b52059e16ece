"""When a source is known well enough to begin, and what it then is."""

from __future__ import annotations

from fractions import Fraction

import pytest

from appliance.media.encode.source import (
    DECLARED_WAIT_S,
    KEYFRAME_WAIT_S,
    UNDECLARED_WAIT_S,
    SourceProbe,
    UnsupportedSourceError,
)
from appliance.media.rtmp.chunks import Message, MessageType
from tests.unit.media.encode.messages import (
    AVC_CONFIG_WITHOUT_TIMING,
    audio_header,
    frame,
    keyframe,
    metadata,
    sound,
    video_header,
)

BOTH = metadata(videocodecid=7.0, audiocodecid=10.0, framerate=30.0)


def _probe(*messages: Message) -> SourceProbe:
    probe = SourceProbe()
    for message in messages:
        probe.observe(message, 0.0)
    return probe


def test_both_tracks_with_the_first_keyframe_are_enough() -> None:
    probe = _probe(BOTH, video_header(), audio_header())
    assert not probe.ready(0.0)
    assert probe.observe(keyframe(0), 0.0)
    assert probe.ready(0.0)
    assert str(probe.source) == "H.264 High 1280x720 30 fps, AAC 48000 Hz 2 ch"


def test_headers_and_metadata_are_no_frames() -> None:
    probe = SourceProbe()
    assert [probe.observe(m, 0.0) for m in (BOTH, video_header(), audio_header())] == [False] * 3


def test_a_declared_track_is_waited_for_but_not_for_ever() -> None:
    probe = _probe(BOTH, video_header(), keyframe(0))
    assert not probe.ready(DECLARED_WAIT_S - 0.1)
    assert probe.ready(DECLARED_WAIT_S)
    assert probe.source.audio is None


def test_metadata_of_one_track_ends_the_waiting_at_once() -> None:
    assert _probe(metadata(videocodecid=7.0, audiocodecid=0.0), video_header(), keyframe(0)).ready(0.0)
    assert _probe(metadata(audiocodecid=10.0), audio_header(), sound(0)).ready(0.0)


def test_without_metadata_a_second_track_is_waited_for_briefly() -> None:
    probe = _probe(audio_header(), sound(0))
    assert not probe.ready(UNDECLARED_WAIT_S - 0.1)
    assert probe.ready(UNDECLARED_WAIT_S)


def test_without_metadata_who_joined_late_waits_for_a_keyframe() -> None:
    probe = _probe(audio_header(), sound(1_503_000))
    assert not probe.ready(KEYFRAME_WAIT_S - 0.1)
    assert probe.ready(KEYFRAME_WAIT_S)
    for message in (video_header(), keyframe(1_507_000)):
        probe.observe(message, 4.0)
    assert probe.ready(4.0)


def test_a_picture_without_keyframe_is_left_out_after_a_while() -> None:
    probe = _probe(BOTH, video_header(), audio_header(), sound(0), frame(0))
    assert not probe.ready(KEYFRAME_WAIT_S - 1)
    assert probe.ready(KEYFRAME_WAIT_S)
    assert probe.source.video is None
    probe.observe(keyframe(11_000), 11.0)
    assert probe.source.video is not None


@pytest.mark.parametrize(
    ("step", "fps"), [(40, Fraction(25)), (33.367, Fraction(30)), (16.683, Fraction(60)), (20, Fraction(50))]
)
def test_the_frame_rate_is_measured_when_nothing_states_it(step: float, fps: Fraction) -> None:
    probe = _probe(video_header(AVC_CONFIG_WITHOUT_TIMING), audio_header(), keyframe(0))
    assert not probe.ready(0.0)
    for number in range(1, 8):
        probe.observe(frame(round(number * step)), 0.0)
    assert probe.ready(0.0)
    assert probe.source.fps == fps


@pytest.mark.parametrize(
    ("stated", "fps"),
    [(29.97, Fraction(30000, 1001)), (59.94, Fraction(60000, 1001)), (23.976, Fraction(24000, 1001)),
     (25.0, Fraction(25)), (12.5, Fraction(25, 2))],
)  # fmt: skip
def test_the_metadata_rate_is_taken_for_the_rate_it_stands_for(stated: float, fps: Fraction) -> None:
    probe = _probe(
        metadata(videocodecid=7.0, framerate=stated), video_header(AVC_CONFIG_WITHOUT_TIMING), keyframe(0)
    )
    assert probe.source.fps == fps


@pytest.mark.parametrize("stated", [float("nan"), float("inf"), float("-inf"), 1e308, -25.0, 0.0])
def test_a_metadata_rate_that_is_none_is_ignored(stated: float) -> None:
    probe = _probe(
        metadata(videocodecid=7.0, framerate=stated), video_header(AVC_CONFIG_WITHOUT_TIMING), keyframe(0)
    )
    assert probe.source.fps is None


def test_the_distance_of_keyframes_is_known_from_the_second_on() -> None:
    probe = _probe(BOTH, video_header(), keyframe(0xFFFFFC18), frame(0), keyframe(1000))
    assert probe.keyframe_seconds == 2.0


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (Message(MessageType.VIDEO, 0, b"\x12abc"), "video is H.263, allowed is H.264"),
        (Message(MessageType.VIDEO, 0, b"\x1c\0\0\0\0"), "video is HEVC, allowed is H.264"),
        (Message(MessageType.VIDEO, 0, b"\x90hvc1"), "Enhanced RTMP video b'hvc1'"),
        (Message(MessageType.AUDIO, 0, b"\x2fabc"), "audio is MP3, allowed is AAC"),
        (Message(MessageType.VIDEO, 0, b"\x17\0\0\0\0junk"), "not an AVCDecoderConfigurationRecord"),
        (Message(MessageType.VIDEO, 0, b"\x17\0\0"), "a video sequence header that is cut off"),
        (Message(MessageType.AUDIO, 0, b"\xaf\0"), "a codec header that is cut off"),
    ],
)
def test_other_codecs_are_refused_by_name(message: Message, reason: str) -> None:
    with pytest.raises(UnsupportedSourceError, match=reason):
        SourceProbe().observe(message, 0.0)


@pytest.mark.parametrize(
    "message",
    [
        Message(MessageType.VIDEO, 0, b"\x57\0"),
        Message(MessageType.VIDEO, 0, b"\x57\x01\0\0\0"),
        Message(MessageType.VIDEO, 0, b"\x17"),
        Message(MessageType.VIDEO, 0, b"\x27\x01\0\0"),
        Message(MessageType.AUDIO, 0, b"\xaf"),
    ],
)
def test_commands_and_cut_off_frames_are_dropped(message: Message) -> None:
    probe = _probe(BOTH, message, video_header(), audio_header(), keyframe(0))
    assert probe.observe(message, 0.0) is False
    assert probe.observe(frame(33), 0.0) is True
    assert probe.keyframe_seconds is None


def test_an_empty_message_is_nothing() -> None:
    assert SourceProbe().observe(Message(MessageType.VIDEO, 0, b""), 0.0) is False
