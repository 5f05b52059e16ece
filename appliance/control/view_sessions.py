"""At most so many sessions of one viewer at once, as long as the shared state can tell."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.view_tokens import TokenRefusedError
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.control.view_tokens import ViewToken
    from appliance.state.sessions import Sessions

RETRY_SECONDS: Final = 5.0
"""How long a state that did not answer is left alone: a frozen one would hold up each viewer for a second."""


class SessionLimit:
    """Counts sessions. Without the shared state every signed token lets in, uncounted.

    A viewer is the token's `sub`, or the token where it has none; a session is its `sid`, or the token at one
    address.

    Parameters
    ----------
    sessions
        The sessions in the shared state.
    limit
        Sessions of one viewer at once; 0 for no limit.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, sessions: Sessions, limit: int, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._sessions = sessions
        self._limit = limit
        self._clock = clock
        self._silent_until: float | None = None

    async def check(self, token: ViewToken, address: str) -> None:
        """Raises TokenRefusedError (403) when the viewer watches in too many other places."""
        if self._limit == 0 or (self._silent_until is not None and self._clock() < self._silent_until):
            return
        # With a mark in front: no viewer can take the name of a token for itself, nor a session.
        viewer = f"sub {token.viewer}" if token.viewer is not None else f"token {token.digest}"
        session = f"sid {token.session}" if token.session is not None else f"token {token.digest} {address}"
        try:
            admitted = await self._sessions.admit(viewer, session, self._limit)
        except StateUnavailableError as error:
            if self._silent_until is None:  # once, not for every viewer
                record("view_sessions", level=logging.WARNING, counted=False, reason=str(error))
            self._silent_until = self._clock() + RETRY_SECONDS
            return
        if self._silent_until is not None:
            self._silent_until = None
            record("view_sessions", counted=True)
        if not admitted:
            raise TokenRefusedError(403, f"the viewer has {self._limit} other sessions")
