"""How much is sent of each stream now, from counters that only grow."""

from __future__ import annotations

import time
from collections import Counter, deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class SentRates:
    """Kilobits a second, over the last `seconds`.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._looks: deque[tuple[float, Counter[str]]] = deque()

    def look(self, sent: Mapping[tuple[str, str], int]) -> dict[str, int]:
        """The rate of each stream; `sent` are its bytes so far, by stream and kind."""
        now, totals = self._clock(), Counter[str]()
        for (stream, _), size in sent.items():
            totals[stream] += size
        # The youngest of those that are old enough stays, to compare with.
        while len(self._looks) > 1 and now - self._looks[1][0] >= self._seconds:
            self._looks.popleft()
        if not self._looks:
            self._looks.append((now, totals))
            return dict.fromkeys(totals, 0)
        began, before = self._looks[0]
        self._looks.append((now, totals))
        # A stream that was forgotten and came back has begun at 0 again.
        return {
            stream: round(8 * max(0, total - before[stream]) / 1000 / max(now - began, 1.0))
            for stream, total in totals.items()
        }
