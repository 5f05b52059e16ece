"""What a stream's source is, learnt from its first messages.

Sequence headers tell codec, size and rate; the encoder's `onMetaData` tells which tracks to wait for.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from appliance.media.codec.codec_config import (
    AudioConfig,
    CodecConfigError,
    VideoConfig,
    parse_audio_config,
    parse_avc_config,
)
from appliance.media.codec.frame_rate import standard_rate
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import Message, MessageType

log = logging.getLogger(__name__)

DECLARED_WAIT_S: Final = 1.5
"""Longest wait for a track that the metadata declares. It comes within a frame or two, or never."""

UNDECLARED_WAIT_S: Final = 0.5
"""Longest wait for a second track when no metadata tells: both begin within some frames of each other, unless
we joined in mid-stream, where nginx sends pictures from the next keyframe on."""

KEYFRAME_WAIT_S: Final = 10.0
"""Longest wait for a first keyframe: more than the longest keyframe distance encoders offer by name."""

_FRAMES_MEASURED: Final = 8
_SANE_FPS: Final = (Fraction(1), Fraction(240))


@dataclass(frozen=True, slots=True)
class Source:
    """The tracks of a source; None for one that it does not have. `fps` None when nothing tells."""

    video: VideoConfig | None
    audio: AudioConfig | None
    fps: Fraction | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self._video_text(), self._audio_text()))) or "nothing"

    @property
    def display_size(self) -> tuple[int, int]:
        """Width and height of the picture in square pixels. Raises ValueError without video."""
        if self.video is None:
            raise ValueError("a source without video has no size")
        aspect, width, height = self.video.sample_aspect, self.video.width, self.video.height
        # The longer direction is stretched, so that no line is lost.
        return (round(width * aspect), height) if aspect >= 1 else (width, round(height / aspect))

    def _video_text(self) -> str | None:
        if self.video is None:
            return None
        rate = f"{float(self.fps):.4g} fps" if self.fps else "fps unknown"
        return f"H.264 {self.video.profile_name} {self.video.width}x{self.video.height} {rate}"

    def _audio_text(self) -> str | None:
        return None if self.audio is None else f"AAC {self.audio.rate} Hz {self.audio.channels} ch"


class UnsupportedSourceError(Exception):
    """The publisher sends a codec that the appliance does not take; the text names it."""


class SourceProbe:
    """Watches a publisher's messages; times are seconds of a monotonic clock, given by the caller."""

    def __init__(self) -> None:
        self.headers: dict[int, Message] = {}
        self.keyframe_seconds: float | None = None
        self.declared_kbps: float | None = None
        self._video: VideoConfig | None = None
        self._audio: AudioConfig | None = None
        self._declared: frozenset[int] | None = None
        self._metadata_fps: Fraction | None = None
        self._first_at: float | None = None
        self._first_sound: int | None = None
        self._last_keyframe: int | None = None
        self._frame_times: list[int] = []
        self._keyframe_late = False

    @property
    def source(self) -> Source:
        """What is known so far. A video track whose first keyframe does not come is left out."""
        video = None if self._keyframe_late and self._last_keyframe is None else self._video
        return Source(video, self._audio, self._fps() if video else None)

    def observe(self, message: Message, now: float) -> bool:
        """Takes note of `message`; returns whether it is one that FFmpeg gets: a frame of audio or video.

        Raises UnsupportedSourceError for any codec but H.264 and AAC, and for an unreadable sequence header.
        """
        if message.type == MessageType.DATA_AMF0:
            self._observe_metadata(message)
            return False
        if message.type not in {MessageType.AUDIO, MessageType.VIDEO} or not message.payload:
            return False
        self._first_at = now if self._first_at is None else self._first_at
        try:
            if message.type == MessageType.VIDEO:
                return self._observe_video(message)
            return self._observe_audio(message)
        except flv.CutOffError as error:
            log.debug("dropped: %s", error)
            return False
        except (flv.FlvError, CodecConfigError) as error:
            raise UnsupportedSourceError(str(error)) from None

    def ready(self, now: float) -> bool:
        """Whether the tracks are known, or waiting for the missing one has taken long enough."""
        if self._first_at is None or not self.headers:
            return False
        waited = now - self._first_at
        if self._video is not None and self._last_keyframe is None:
            self._keyframe_late = waited >= KEYFRAME_WAIT_S
            return self._keyframe_late and self._audio is not None
        if self._fps() is None and self._video is not None and waited < UNDECLARED_WAIT_S:
            return False
        if self._declared is None:
            patience = KEYFRAME_WAIT_S if self._joined_late() else UNDECLARED_WAIT_S
            return len(self.headers) == 2 or waited >= patience
        missing = self._declared - self.headers.keys()
        # A reader that joined in mid-stream may get the pictures' header only with the next keyframe.
        patience = KEYFRAME_WAIT_S if MessageType.VIDEO in missing else DECLARED_WAIT_S
        return not missing or waited >= patience

    def _observe_metadata(self, message: Message) -> None:
        entries = flv.read_metadata(message)
        if entries is None:
            return
        kinds = {"videocodecid": MessageType.VIDEO, "audiocodecid": MessageType.AUDIO}
        self._declared = frozenset(int(kind) for key, kind in kinds.items() if entries.get(key))
        kbps = entries.get("videodatarate")
        self.declared_kbps = kbps if isinstance(kbps, float) and kbps > 0 else None
        fps = entries.get("framerate") or entries.get("fps")
        if isinstance(fps, float):
            # AMF numbers may be NaN or infinite, which no fraction is.
            self._metadata_fps = _sane(standard_rate(fps)) if math.isfinite(fps) else None

    def _observe_video(self, message: Message) -> bool:
        packet = flv.parse_video(message.payload)
        if packet.kind is flv.PacketKind.COMMAND:
            return False
        if packet.codec != flv.AVC:
            name = flv.VIDEO_CODECS.get(packet.codec, f"codec {packet.codec}")
            raise UnsupportedSourceError(f"video is {name}, allowed is H.264")
        if packet.kind is flv.PacketKind.SEQUENCE_HEADER:
            self._video = parse_avc_config(message.payload[packet.body :])
            self.headers[message.type] = message
        if packet.kind not in {flv.PacketKind.KEYFRAME, flv.PacketKind.FRAME} or self._video is None:
            return False
        if packet.kind is flv.PacketKind.KEYFRAME:
            if self._last_keyframe is not None:
                self.keyframe_seconds = (message.timestamp - self._last_keyframe & 0xFFFFFFFF) / 1000
            self._last_keyframe = message.timestamp
        if len(self._frame_times) < _FRAMES_MEASURED:
            self._frame_times.append(message.timestamp)
        return True

    def _observe_audio(self, message: Message) -> bool:
        packet = flv.parse_audio(message.payload)
        if packet.codec != flv.AAC:
            name = flv.AUDIO_CODECS.get(packet.codec, f"codec {packet.codec}")
            raise UnsupportedSourceError(f"audio is {name}, allowed is AAC")
        if packet.kind is flv.PacketKind.SEQUENCE_HEADER:
            self._audio = parse_audio_config(message.payload[packet.body :])
            self.headers[message.type] = message
            return False
        if self._audio is not None and self._first_sound is None:
            self._first_sound = message.timestamp
        return self._audio is not None

    def _joined_late(self) -> bool:
        """Whether the publisher had been sending for a while: pictures may wait for their keyframe then."""
        return self._video is None and (self._first_sound or 0) >= 1000 * UNDECLARED_WAIT_S

    def _fps(self) -> Fraction | None:
        stated = _sane(self._video.fps) if self._video else None
        return stated or self._metadata_fps or self._measured_fps()

    def _measured_fps(self) -> Fraction | None:
        if len(self._frame_times) < _FRAMES_MEASURED:
            return None
        span = self._frame_times[-1] - self._frame_times[0]
        return _sane(standard_rate(1000 * (_FRAMES_MEASURED - 1) / span)) if span > 0 else None


def _sane(fps: Fraction | None) -> Fraction | None:
    return fps if fps is not None and _SANE_FPS[0] <= fps <= _SANE_FPS[1] else None
