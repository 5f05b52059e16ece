"""A circuit breaker: a backend that fails again and again is left alone for a while.

closed: every request goes through. open: none does, and who asks hears so at once, instead of after the time
limit. half-open, when the pause is over: one request goes through as a trial, and its outcome decides.
"""

from __future__ import annotations

import enum
import time
from collections import deque
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

IN_A_ROW: Final = 5
"""Failures in a row that open it."""

WINDOW_SECONDS: Final = 30.0
LEAST: Final = 10
SHARE: Final = 0.5
"""It opens also when this share of the outcomes within the window failed, of LEAST outcomes or more: a
backend that fails every other request never fails five in a row."""

PAUSE_SECONDS: Final = 5.0
"""How long it stays open before a trial."""

TRIAL_SECONDS: Final = 15.0
"""A trial without an outcome for so long counts for nothing: whoever made it was cancelled."""


class State(enum.Enum):
    """Where a breaker is."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


class Breaker:
    """One breaker; `clock` gives monotonic seconds. Used from one event loop only."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._outcomes: deque[tuple[float, bool]] = deque()
        self._opened_at: float | None = None
        self._trial_at: float | None = None

    @property
    def state(self) -> State:
        """Closed, open, or half-open once the pause is over."""
        if self._opened_at is None:
            return State.CLOSED
        over = self._clock() - self._opened_at >= PAUSE_SECONDS
        return State.HALF_OPEN if over else State.OPEN

    def permits(self) -> bool:
        """Whether a request may be made now; who is told yes reports its outcome."""
        state = self.state
        if state is State.HALF_OPEN:
            now = self._clock()
            if self._trial_at is not None and now - self._trial_at < TRIAL_SECONDS:
                return False
            self._trial_at = now
            return True
        return state is State.CLOSED

    def succeeded(self) -> None:
        """A request was answered as it should be."""
        if self._opened_at is not None:
            self._outcomes.clear()
        self._opened_at = self._trial_at = None
        self._in_a_row = 0
        self._note(good=True)

    def failed(self) -> None:
        """A request failed."""
        self._in_a_row += 1
        self._note(good=False)
        trial_failed = self.state is State.HALF_OPEN
        if trial_failed or (self._opened_at is None and self._too_many()):
            self._opened_at = self._clock()
            self._trial_at = None

    def _note(self, *, good: bool) -> None:
        now = self._clock()
        self._outcomes.append((now, good))
        while now - self._outcomes[0][0] > WINDOW_SECONDS:
            self._outcomes.popleft()

    def _too_many(self) -> bool:
        failures = sum(not good for _, good in self._outcomes)
        share = len(self._outcomes) >= LEAST and failures >= SHARE * len(self._outcomes)
        return share or self._in_a_row >= IN_A_ROW
