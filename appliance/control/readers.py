"""Which streams have their own reader connected to nginx.

A publish is answered once the stream's reader waits for it in nginx: otherwise the first keyframe goes by
before anybody listens, and the stream starts one keyframe interval late.
"""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.names import StreamName

_UNLISTED_SECONDS: Final = 5.0
"""A reader that has just been let in may not stand in /stat yet; older ones that do not are gone."""


class Readers:
    """The readers' connections (nginx's client numbers) by stream. Used from one event loop only."""

    def __init__(self) -> None:
        self._clients: defaultdict[StreamName, dict[str, float]] = defaultdict(dict)
        self._changed: defaultdict[StreamName, asyncio.Event] = defaultdict(asyncio.Event)

    def present(self, stream: StreamName) -> bool:
        """Whether a reader of `stream` is connected, as far as we know."""
        return bool(self._clients.get(stream))

    def join(self, stream: StreamName, client: str) -> None:
        """The reader `client` was let in to `stream`."""
        self._clients[stream][client] = time.monotonic()
        self._changed[stream].set()

    def leave(self, stream: StreamName, client: str) -> None:
        """The reader `client` of `stream` is gone."""
        clients = self._clients.get(stream, {})
        clients.pop(client, None)
        if not clients:
            self._forget(stream)

    def compare(self, listed: Mapping[StreamName, frozenset[str]]) -> None:
        """Takes over what /stat lists: `listed` has the players' clients by stream."""
        now = time.monotonic()
        for stream in list(self._clients):
            for client, joined in list(self._clients[stream].items()):
                if client not in listed.get(stream, frozenset()) and now - joined > _UNLISTED_SECONDS:
                    self.leave(stream, client)
        for stream, clients in listed.items():
            for client in clients - self._clients[stream].keys():
                self.join(stream, client)

    async def wait(self, stream: StreamName, seconds: float) -> bool:
        """Waits at most `seconds` until a reader of `stream` is connected; whether one is."""
        if self.present(stream):
            return True
        try:
            async with asyncio.timeout(seconds):
                await self._changed[stream].wait()
        except TimeoutError:
            return self.present(stream)
        return True

    def _forget(self, stream: StreamName) -> None:
        self._clients.pop(stream, None)
        if (event := self._changed.get(stream)) is not None:
            event.clear()
