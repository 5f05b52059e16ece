"""What has stayed the same for a while, by this process's own clock: nobody else's is trusted for it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


class Unchanged:
    """Remembers what it was shown the last time; no more than that.

    Parameters
    ----------
    seconds
        How long something has to be the same.
    clock
        Monotonic seconds.
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._since: dict[str, tuple[object, float]] = {}

    def over(self, states: Mapping[str, object]) -> list[str]:
        """Those that have had the same state for so long, each time they were shown."""
        now, before = self._clock(), self._since
        self._since = {
            name: before[name] if name in before and before[name][0] == state else (state, now)
            for name, state in states.items()
        }
        return [name for name, (_, since) in self._since.items() if now - since >= self._seconds]
