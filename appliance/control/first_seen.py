"""What comes again and again deserves one line of the log, not one each time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable


class FirstSeen:
    """Tells what comes for the first time from what comes again.

    Parameters
    ----------
    seconds
        What has not come for so long is new again.
    capacity
        How many are remembered; beyond it the one that has not come for longest is forgotten.
    clock
        Monotonic seconds.
    """

    def __init__(self, *, seconds: float, capacity: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._capacity = capacity
        self._clock = clock
        self._last: dict[Hashable, float] = {}  # in the order of the times

    def __call__(self, what: Hashable) -> bool:
        """Whether `what` is new."""
        now = self._clock()
        before = self._last.pop(what, None)
        self._last[what] = now
        if len(self._last) > self._capacity:
            del self._last[next(iter(self._last))]
        return before is None or now - before > self._seconds
