"""Watch a live stream from outside, as a player does, while something is done to its host."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from tests.support import player
from tests.support.poller import Poller

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Recovery:
    """What a viewer and a publisher noticed of a killed process."""

    HEADER: ClassVar[str] = (
        f"{'killed':<28} {'back after':>11} {'longest wait for a segment':>27} {'refused requests':>17} "
        f"{'breaks':>7}  publisher"
    )

    victim: str
    back_seconds: float
    """Until the process ran again."""
    wait_seconds: float
    """Longest time between two new segments, the first after the kill included."""
    refused: int
    """Playlist requests that were not answered with 200."""
    breaks: int
    """EXT-X-DISCONTINUITY tags that came."""
    publisher: str

    def __str__(self) -> str:
        return (
            f"{self.victim:<28} {self.back_seconds:>9.2f} s {self.wait_seconds:>25.2f} s {self.refused:>17} "
            f"{self.breaks:>7}  {self.publisher}"
        )


class Watcher(Poller):
    """Polls one media playlist and notes when each segment was first seen."""

    def __init__(self, url: str) -> None:
        super().__init__(POLL_SECONDS)
        self.url = url
        self.seen: dict[int, float] = {}
        """Segment number → time.monotonic() at which it was first listed."""
        self.broken: set[int] = set()
        """Segments with a discontinuity."""
        self.gaps: set[int] = set()
        """Numbers whose segment is said to be lost (EXT-X-GAP)."""
        self.refused: list[tuple[float, str]] = []
        self.ended = False
        self._enough = threading.Condition()

    def poll(self) -> None:
        """Read the playlist."""
        try:
            playlist = player.media(self.url)
        except (OSError, AssertionError) as error:
            self.refused.append((time.monotonic(), str(error)))
            return
        with self._enough:
            now = time.monotonic()
            for segment in playlist.segments:
                self.seen.setdefault(segment.number, now)
                if segment.discontinuity:
                    self.broken.add(segment.number)
            self.gaps.update(playlist.gaps)
            self.ended = self.ended or playlist.ended
            self._enough.notify_all()

    @property
    def last(self) -> int:
        """Number of the newest segment seen."""
        return max(self.seen, default=-1)

    def wait_for(self, number: int, seconds: float) -> float:
        """Wait until segment `number` was seen; return when that was (time.monotonic())."""
        with self._enough:
            came = self._enough.wait_for(lambda: self.last >= number, timeout=seconds)
        assert came, (
            f"segment {number} did not come within {seconds} s; the last is {self.last}; {self.refused[-3:]}"
        )
        return next(self.seen[later] for later in sorted(self.seen) if later >= number)

    def longest_wait(self, since: float) -> float:
        """Return the longest time between two new segments from `since` on, s."""
        times = sorted(set(self.seen.values()))
        before = max((t for t in times if t <= since), default=since)
        after = [before, *(t for t in times if t > since)]
        return max((b - a for a, b in pairwise(after)), default=0.0)
