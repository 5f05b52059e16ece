"""Codec headers, as real encoders wrote them (x264 and FFmpeg's aac)."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.codec.codec_config import (
    AudioConfig,
    CodecConfigError,
    VideoConfig,
    parse_audio_config,
    parse_avc_config,
)

HIGH_720P30 = bytes.fromhex(
    "0164001fffe1001a6764001facd9405005bb0110000003001000000303c0f183196001000468efbcb0fdf8f800"
)
BASELINE_180P = bytes.fromhex(
    "0142c00dffe100176742c00dd901419f9f011000003e90000ea600f142a48001000568cb83cb20"
)
ANAMORPHIC_576I = bytes.fromhex(
    "0164001effe100186764001eacd940b424d8208000000300800000190f8a14cb01000668fba3cb22c0fdf8f800"
)


def test_high_profile_with_timing() -> None:
    config = parse_avc_config(HIGH_720P30)
    assert config == VideoConfig(100, 31, 1280, 720, Fraction(1), Fraction(30))
    assert config.profile_name == "High"


def test_cropped_height_and_a_fractional_rate() -> None:
    config = parse_avc_config(BASELINE_180P)
    assert (config.profile_name, config.width, config.height) == ("Baseline", 320, 180)
    assert config.fps == Fraction(30000, 1001)


def test_interlaced_and_anamorphic() -> None:
    config = parse_avc_config(ANAMORPHIC_576I)
    assert (config.width, config.height) == (720, 576)
    assert config.sample_aspect == Fraction(16, 11)
    assert config.fps == 25


@pytest.mark.parametrize(
    ("header", "config"),
    [
        ("1190", AudioConfig(2, 48000, 2)),
        ("1210", AudioConfig(2, 44100, 2)),
        ("11b0", AudioConfig(2, 48000, 6)),
        ("2b118800", AudioConfig(5, 48000, 2)),  # HE-AAC: 24 kHz core, 48 kHz played
        ("1780bb8010", AudioConfig(2, 96000, 2)),  # a rate in 24 bits
    ],
)
def test_audio(header: str, config: AudioConfig) -> None:
    assert parse_audio_config(bytes.fromhex(header)) == config


@given(st.binary(max_size=60))
def test_any_bytes_are_a_header_or_an_error(data: bytes) -> None:
    for parse in (parse_avc_config, parse_audio_config):
        try:
            parse(data)
        except CodecConfigError:
            continue


@given(st.integers(0, len(HIGH_720P30) - 1), st.integers(0, 255))
def test_a_damaged_header_is_a_header_or_an_error(at: int, value: int) -> None:
    damaged = bytearray(HIGH_720P30)
    damaged[at] = value
    try:
        parse_avc_config(bytes(damaged))
    except CodecConfigError:
        return
