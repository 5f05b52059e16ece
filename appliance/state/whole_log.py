"""Valkey's log is written anew after its disk was full: what was written meanwhile may have torn it.

Where a write went halfway, Valkey cuts the log back to where it stood. The file that a rewrite has begun is
not open for appending (O_APPEND), so the next write goes on behind what was cut off, and zeros lie between.
Valkey does not load such a log: it would not start again (seen with 8.1.1: "Bad file format reading the
append only file"). Its memory is whole, and so is the log that it writes anew from it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.state.valkey import State

log = logging.getLogger(__name__)

LOOK_SECONDS: Final = 0.25
"""How long after the disk has room again Valkey may be without a log that it can start with. It tries a write
that failed again each second, so that few failures are over before anybody looked."""


class WholeLog:
    """One Valkey's. `tell` is called with words when its log cannot be written, and when it is again."""

    def __init__(self, state: State, tell: Callable[[str], None]) -> None:
        self._state = state
        self._tell = tell
        self._torn = False
        self._asked = False

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        """Has the log written anew once writes go well after they failed; again where that failed."""
        try:
            # Apart: whoever waits for a decision must not wait for this.
            (said,) = await self._state.ask_apart(("INFO", "persistence"))
            await self._judge(said)
        except StateUnavailableError as error:
            log.debug("Valkey's log: %s", error)

    async def _judge(self, info: Mapping[str, Any]) -> None:
        if info.get("aof_last_write_status", "ok") != "ok":
            if not self._torn:
                self._tell("cannot be written")
            self._torn, self._asked = True, False
        elif self._torn and not (info.get("aof_rewrite_in_progress") or info.get("aof_rewrite_scheduled")):
            if self._asked and info.get("aof_last_bgrewrite_status") == "ok":
                self._torn = self._asked = False
                self._tell("written anew")
            else:
                await self._state.ask_apart(("BGREWRITEAOF",))
                self._asked = True
