"""Whether FFmpeg keeps pace with its source, by what it has taken of what it was given.

FFmpeg's own `speed` is an average since its start, and counts a source that pauses as slowness.
"""

from __future__ import annotations

from collections import deque
from itertools import pairwise
from typing import Final

WINDOW_S: Final = 10.0

_FULL_S: Final = 0.9 * WINDOW_S
"""Seconds between the first and last sample of a full window: less than the whole by up to the distance of
two samples, which is half a second, or twice that on a busy machine."""

_LEAST_BEHIND_MS: Final = 1000
"""A hiccup, of a busy machine or an expensive picture, is less and is made up for. What is slow passes it
soon: at 0.97 of real time within 34 seconds."""

_LEAST_GIVEN: Final = 0.8
"""Media time for each second of the clock; a source that gives less has paused or its network stalls,
and how much of so little FFmpeg takes tells nothing of its speed."""


class Pace:
    """Times are seconds of a monotonic clock, media times milliseconds of the run."""

    def __init__(self) -> None:
        self._given = 0
        self._given_ms = 0
        self._taken_ms: int | None = None
        self._untaken: deque[tuple[int, int]] = deque()
        self._samples: deque[tuple[float, int, int]] = deque()

    @property
    def speed(self) -> float | None:
        """Media time taken over media time given, in the last ten seconds; None while that is not known."""
        if not self._samples:
            return None
        (begun, given, taken), (now, given_now, taken_now) = self._samples[0], self._samples[-1]
        if now - begun < _FULL_S or given_now - given < 1000 * _LEAST_GIVEN * (now - begun):
            return None
        return (taken_now - taken) / (given_now - given)

    @property
    def behind_s(self) -> float:
        """Media time that FFmpeg has not taken yet."""
        return 0.0 if self._taken_ms is None else (self._given_ms - self._taken_ms) / 1000

    def slow(self, least: float) -> bool:
        """Whether the speed was below `least` all the time, and FFmpeg is at least a second behind.

        All the time is in each third of the window: a stall that is over slows the mean, and tells nothing of
        what the host can do.
        """
        if self.speed is None or 1000 * self.behind_s < _LEAST_BEHIND_MS:
            return False
        last = len(self._samples) - 1
        edges = [self._samples[last * third // 3] for third in range(4)]
        return all(
            taken_then - taken < least * (given_then - given)
            for (_, given, taken), (_, given_then, taken_then) in pairwise(edges)
        )

    def give(self, size: int, milliseconds: int) -> None:
        """A frame of `size` bytes of that media time was written to FFmpeg."""
        self._given += size
        self._given_ms = max(self._given_ms, milliseconds)
        self._untaken.append((self._given, self._given_ms))

    def sample(self, now: float, backlog: int) -> None:
        """To be called about twice a second; `backlog` bytes are not taken yet."""
        while self._untaken and self._untaken[0][0] <= self._given - backlog:
            self._taken_ms = self._untaken.popleft()[1]
        if self._taken_ms is None:
            return
        self._samples.append((now, self._given_ms, self._taken_ms))
        while now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
