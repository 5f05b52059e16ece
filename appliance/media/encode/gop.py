"""The frames since the last keyframe, kept so that a new FFmpeg can begin with a picture at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.media.encode.clock import MOST_APART_MS, milliseconds_since
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import MessageType
from appliance.media.rtmp.reader import Arrival

if TYPE_CHECKING:
    from appliance.media.rtmp.chunks import Message

MAX_BYTES: Final = 48 * 1024 * 1024
"""Bound of the memory held: 20 s at 20 Mb/s. A longer distance between keyframes is not replayed."""

_AUDIO_ONLY_MS: Final = 2000
_AUDIO_ONLY_BYTES: Final = 1024 * 1024
"""More than two seconds of any AAC."""

_FRAME_BYTES: Final = 256
"""What a frame costs beside its payload: an empty one is not for nothing."""


class GopBuffer:
    """Bounded; without video it keeps the last two seconds of audio."""

    def __init__(self, *, video: bool = True) -> None:
        self.video = video
        self._arrivals: list[Arrival] = []
        self._bytes = 0
        self._begun = False

    def add(self, message: Message, wall: float) -> None:
        """Takes one frame of audio or video; a keyframe starts the buffer anew."""
        if message.type == MessageType.VIDEO:
            if flv.parse_video(message.payload).kind is flv.PacketKind.KEYFRAME:
                self._restart(message)
            elif not self._begun:
                return
        self._arrivals.append(Arrival(message, wall))
        self._bytes += _cost(message)
        if not self._begun:
            self._trim(message)
        elif self._bytes > MAX_BYTES:
            self.clear()

    def replay(self) -> list[Arrival]:
        """Returns the frames from the last keyframe on; without video, the audio that is kept."""
        return list(self._arrivals) if self._begun or not self.video else []

    def clear(self) -> None:
        """Forgets everything, as after a jump of the timestamps."""
        self._arrivals.clear()
        self._bytes = 0
        self._begun = False

    def _restart(self, keyframe: Message) -> None:
        # Audio that arrived early but sounds after the keyframe belongs to it.
        self._arrivals = [
            arrival
            for arrival in self._arrivals
            if arrival.message.type == MessageType.AUDIO
            and 0 <= milliseconds_since(keyframe.timestamp, arrival.message.timestamp) <= MOST_APART_MS
        ]
        self._bytes = sum(_cost(arrival.message) for arrival in self._arrivals)
        self._begun = True

    def _trim(self, latest: Message) -> None:
        gone = 0
        for arrival in self._arrivals:
            age = abs(milliseconds_since(arrival.message.timestamp, latest.timestamp))
            # By size too: where timestamps stand still, nothing ever grows old.
            if age <= _AUDIO_ONLY_MS and self._bytes <= _AUDIO_ONLY_BYTES:
                break
            self._bytes -= _cost(arrival.message)
            gone += 1
        del self._arrivals[:gone]


def _cost(message: Message) -> int:
    return len(message.payload) + _FRAME_BYTES
