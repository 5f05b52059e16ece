"""A source as a person writes it: 1920x1080@30, or `audio`."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.source import Source

_TEXT: Final = re.compile(r"(\d{2,4})x(\d{2,4})(?:@(\d{1,3}(?:\.\d{1,3})?|\d{4,6}/[1-9]\d{3}))?")


def described_source(text: str) -> Source:
    """Returns the source that `text` describes: H.264 High with stereo AAC at 48 kHz.

    Raises ValueError when it is not WIDTHxHEIGHT[@FPS] or `audio`.
    """
    audio = AudioConfig(object_type=2, rate=48_000, channels=2)
    if text == "audio":
        return Source(None, audio)
    match = _TEXT.fullmatch(text)
    fps = Fraction(match[3]) if match and match[3] else None
    if match is None or int(match[1]) < 16 or int(match[2]) < 16 or (fps is not None and not 1 <= fps <= 240):
        raise ValueError(f"{text!r} is refused; allowed is WIDTHxHEIGHT@FPS such as 1280x720@29.97, or audio")
    return Source(VideoConfig(100, 40, int(match[1]), int(match[2]), fps=fps), audio, fps)
