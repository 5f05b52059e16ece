"""When the source's media was here: what the time until its publication is counted from.

Not from its date (EXT-X-PROGRAM-DATE-TIME): that begins with a run's first frames, which are late more often
than not, as the encoder has just connected and a keyframe is large. What is published is dated some
hundredths of a second too late then, and would be there before its time.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import deque
from typing import Final

_MOST: Final = 2048
"""Frames that are remembered: half a minute at 60 a second. Of what is older the oldest stands in."""


class Arrivals:
    """The frames of a run's leading track: media time (seconds within the run) and unix time of each."""

    def __init__(self) -> None:
        self._media: deque[float] = deque(maxlen=_MOST)
        self._here: deque[float] = deque(maxlen=_MOST)

    def note(self, media: float, now: float) -> None:
        """The frame at `media` is here; one that lies before another is left out."""
        if not self._media or media > self._media[-1]:
            self._media.append(media)
            self._here.append(now)

    def at(self, media: float) -> float | None:
        """When all before `media` was here: with the first frame that does not lie before it.

        What plays on behind the newest frame was here with that; None while no frame was.
        """
        if not self._media:
            return None
        found = bisect_left(self._media, media - _SAME)
        return self._here[min(found, len(self._here) - 1)]


_SAME: Final = 0.002
"""RTMP counts in milliseconds, media in fractions: so far apart (s) may be what is the same."""
