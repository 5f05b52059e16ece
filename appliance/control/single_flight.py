"""Who asks what somebody else is asking already waits for that answer, instead of asking again."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Hashable

T = TypeVar("T")


class SingleFlight(Generic[T]):
    """Questions on their way, by what they ask. Used from one event loop only."""

    def __init__(self) -> None:
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    async def __call__(self, what: Hashable, ask: Callable[[], Coroutine[None, None, T]]) -> T:
        """What `ask` answers, or raises; one that is cancelled ends it for none of the others."""
        flight = self._flights.get(what)
        if flight is None:
            flight = self._flights[what] = asyncio.create_task(ask())
            flight.add_done_callback(lambda _: self._flights.pop(what, None))
        return await asyncio.shield(flight)
