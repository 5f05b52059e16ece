"""Every second: what is remembered about streams and viewers is made to agree with Valkey."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.troubles import Troubles
from appliance.control.view.policy import TO_HAVE_IT_ASK, delivery_asks, effective
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.control.context import Control

ROUND_SECONDS: Final = 1.0
_RETRY_SECONDS: Final = 10.0


class ViewSync:
    """The loop; `attempt` is one round."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._troubles = Troubles("view_sync")

    async def run(self) -> None:
        """Goes on for ever."""
        while True:
            await asyncio.sleep(ROUND_SECONDS)
            await self.attempt()

    async def attempt(self) -> None:
        """One round that never raises: trouble is logged when it begins and when it ends."""
        # Each whatever became of the other: a Valkey that takes no more still says what is registered.
        self._troubles(await _trouble(self._control.viewers.sync), part="viewers")
        self._troubles(await _trouble(self._control.view_policy.refresh), part="policies")


async def warn_of_unasked(control: Control) -> None:
    """Says which streams were registered for some viewers, and are open to all on this host.

    As when `delivery_view_auth` was taken back. Where they cannot be read it says so, and goes on to try.
    """
    if delivery_asks(control.settings):
        return
    default, after, troubles = control.settings.view_policy, "", Troubles("view_policy")
    while True:
        try:
            page = await control.registry.page(after=after, limit=1000)
        except StateUnavailableError as error:
            troubles(str(error))
            await asyncio.sleep(_RETRY_SECONDS)
            continue
        troubles(None)
        if not page:
            return
        after = page[-1].name
        streams = [each.name for each in page if effective(each.view, each.entitlement, default) != "open"]
        if streams:
            reason = f"delivery asks nobody, so everybody may watch them. {TO_HAVE_IT_ASK}"
            record("view_policy", level=logging.ERROR, streams=streams, reason=reason)


async def _trouble(part: Callable[[], Awaitable[None]]) -> str | None:
    """Does `part`; returns what was wrong, None when nothing was."""
    try:
        await part()
    except StateUnavailableError as error:
        return str(error)
    # Broad on purpose, as in the reconciler: what it let through would end the loop, and silently.
    except Exception as error:  # noqa: BLE001
        return type(error).__name__
    return None
