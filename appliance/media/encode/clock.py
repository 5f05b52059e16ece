"""The clocks of a source: RTMP timestamps of each track, their jumps, and the time within a run.

Sound and picture are stamped by different clocks of an encoder: each track is compared with itself.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.rtmp.chunks import MessageType

if TYPE_CHECKING:
    from appliance.media.rtmp.chunks import Message

log = logging.getLogger(__name__)

MOST_APART_MS: Final = 8000
"""Sound whose timestamps lie this far from the pictures' is played where these say, as the encoder meant it;
beyond it, sound and picture that arrive together belong together. Below the ten seconds that the packager
waits for pictures, and below what a live playlist lists."""

_FLOWING_S: Final = 1.0
"""A track that has sent nothing for longer is no measure for the other."""


def milliseconds_since(earlier: int, later: int) -> int:
    """Returns `later - earlier` of two RTMP timestamps, which count modulo 2**32 (section 5.3.1.2.1)."""
    return ((later - earlier + 0x80000000) & 0xFFFFFFFF) - 0x80000000


class JumpDetector:
    """Tells when a track's timestamps leave the frames before by more than `limit_ms`.

    A track that paused while the other went on has not jumped: it comes back where the other says it is.
    """

    def __init__(self, limit_ms: float) -> None:
        self._limit_ms = limit_ms
        self._last: dict[int, int] = {}
        self._apart: dict[int, int] = {}

    def step(self, message: Message) -> int | None:
        """Takes a frame; returns by how many milliseconds its track has jumped, None when it has not."""
        kind, timestamp = message.type, message.timestamp
        before = self._last.get(kind)
        other = next((last for other, last in self._last.items() if other != kind), None)
        jumped = None
        if before is not None and abs(step := milliseconds_since(before, timestamp)) > self._limit_ms:
            apart = self._apart.get(kind)
            paused = (
                other is not None
                and apart is not None
                and abs(milliseconds_since(other, timestamp) - apart) <= self._limit_ms
            )
            if not paused:
                jumped = step
                self.clear()
                other = None
        self._last[kind] = timestamp
        if other is not None:
            self._apart[kind] = milliseconds_since(other, timestamp)
        return jumped

    def clear(self) -> None:
        """Forgets the frames before: what comes next is no jump."""
        self._last.clear()
        self._apart.clear()


@dataclass(slots=True)
class _Reading:
    timestamp: int
    milliseconds: int
    at: float


class RunClock:
    """Milliseconds within a run: `start_ms` at the RTMP timestamp `first` of the track `lead`.

    Counted from frame to frame of each track, so that it goes on where timestamps wrap (2**32 ms, 49.7 days).
    """

    def __init__(self, lead: MessageType, first: int, start_ms: int) -> None:
        self._lead = lead
        self._readings = {int(lead): _Reading(first, start_ms, time.monotonic())}
        self._moved = False

    @property
    def milliseconds(self) -> int:
        """The time of the leading track's newest frame."""
        return self._readings[self._lead].milliseconds

    def read(self, message: Message) -> int:
        """Returns the run's time of the next frame of its track."""
        now, lead = time.monotonic(), self._readings[self._lead]
        own = self._readings.get(message.type, lead)
        milliseconds = own.milliseconds + milliseconds_since(own.timestamp, message.timestamp)
        apart = milliseconds - lead.milliseconds
        if message.type != self._lead and abs(apart) > MOST_APART_MS and now - lead.at < _FLOWING_S:
            if not self._moved:
                self._moved = True
                log.warning(
                    "the source's sound is stamped %.3f s from its pictures: what arrives together is played "
                    "together",
                    apart / 1000,
                )
            milliseconds = lead.milliseconds
        self._readings[message.type] = _Reading(message.timestamp, milliseconds, now)
        return milliseconds
