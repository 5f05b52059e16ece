"""Every second: what is remembered about streams and viewers is made to agree with Valkey."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.control.context import Control

ROUND_SECONDS: Final = 1.0


class ViewSync:
    """The loop; `attempt` is one round."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._trouble: str | None = None

    async def run(self) -> None:
        """Goes on for ever."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.attempt()

    async def attempt(self) -> None:
        """One round that never raises: trouble is logged when it begins and when it ends."""
        try:
            await self._control.viewers.sync()
            await self._control.view_policy.refresh()
        except StateUnavailableError as error:
            self._say(str(error))
        # Broad on purpose, as in the reconciler: what it let through would end the loop, and silently.
        except Exception as error:  # noqa: BLE001
            self._say(type(error).__name__)
        else:
            self._say(None)

    def _say(self, trouble: str | None) -> None:
        if trouble is None and self._trouble is not None:
            record("view_sync", action="recovered")
        elif trouble is not None and self._trouble is None:
            record("view_sync", level=logging.WARNING, action="waiting", reason=trouble)
        self._trouble = trouble
