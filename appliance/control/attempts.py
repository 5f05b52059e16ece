"""How often somebody tried to publish of late, as far as this host knows.

A ban is for who fails, and to find one costs a question to Valkey. This costs none, so that a flood of
attempts, of which one connection can make any number, leaves the time for others. nginx-rtmp has no bound of
its own.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from appliance.address import subject

if TYPE_CHECKING:
    from collections.abc import Callable

_WINDOW_SECONDS: Final = 60.0
_REMEMBERED: Final = 10_000
"""Addresses; about 2 MB."""


class Attempts:
    """Counts the attempts of each address; an IPv6 network of 64 bits is one, this host itself is never
    bounded.

    Parameters
    ----------
    limit
        Attempts within a minute; 0 for no bound.
    clock
        Monotonic seconds.
    """

    def __init__(self, limit: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.limit = limit
        self._clock = clock
        self._counted: dict[str, tuple[float, int]] = {}
        """When the minute of an address began, and its attempts since; the oldest beginning first."""

    def too_many(self, address: str) -> bool:
        """Counts an attempt of `address`; whether it is one too many."""
        who = subject(address)
        if who is None or not self.limit:
            return False
        now = self._clock()
        began, count = self._counted.get(who, (now, 0))
        if now - began >= _WINDOW_SECONDS:
            began, count = now, 0
        if not count:
            # at the end of the order: this one's minute is the youngest
            self._counted.pop(who, None)
        self._counted[who] = began, count + 1
        if len(self._counted) > _REMEMBERED:
            del self._counted[next(iter(self._counted))]
        return count >= self.limit
