"""At most so many sessions of one viewer at once, as long as the shared state can tell."""

from __future__ import annotations

import math
import time
from typing import TYPE_CHECKING, Final

from appliance.control.troubles import Troubles
from appliance.control.view.tokens import TokenRefusedError
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.control.view.viewer import Viewer
    from appliance.state.sessions import Sessions

RETRY_SECONDS: Final = 2.0
"""How long a state that did not answer is left alone: a frozen one would hold up each viewer for a second."""


class SessionLimit:
    """Counts sessions. Without the shared state everybody who may watch is let in, uncounted.

    Parameters
    ----------
    sessions
        The sessions in the shared state.
    clock
        Monotonic seconds.
    """

    def __init__(self, sessions: Sessions, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._sessions = sessions
        self._clock = clock
        self._silent_until = -math.inf
        self._troubles = Troubles("view_sessions")

    async def check(self, viewer: Viewer, limit: int) -> None:
        """Raises TokenRefusedError (403) when its subject has `limit` other sessions; 0: no limit."""
        if limit == 0 or self._clock() < self._silent_until:
            return
        try:
            admitted = await self._sessions.admit(viewer.subject, viewer.session, limit)
        except StateUnavailableError as error:
            self._troubles(f"sessions are not counted: {error}")
            self._silent_until = self._clock() + RETRY_SECONDS
            return
        self._troubles(None)
        if not admitted:
            raise TokenRefusedError(403, f"the viewer has {limit} other sessions")
