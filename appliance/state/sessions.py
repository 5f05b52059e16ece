"""Who watches at the moment, so that one viewer does so no more often at once than is allowed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.digest import digest
from appliance.state.valkey import PREFIX, Script

if TYPE_CHECKING:
    from appliance.state.valkey import State

SESSION_SECONDS: Final = 30.0
"""A session that has not been seen for so long is over.

A player asks for a playlist at least every target duration (10 s), and delivery remembers an answer for at
most 10 s.
"""

_SESSIONS: Final = f"{PREFIX}sessions:"


class Sessions:
    """The sessions of all viewers, on all hosts together. Every method raises StateUnavailableError."""

    def __init__(self, state: State, *, life_seconds: float = SESSION_SECONDS) -> None:
        self._admit = Script(state, "session")
        self._life_ms = round(1000 * life_seconds)

    async def admit(self, viewer: str, session: str, limit: int) -> bool:
        """Notes that `session` of `viewer` watches; False when `limit` others of the viewer do already."""
        # As digests, each as long as the other: neither who watches nor a token has to stand in the state.
        key = _SESSIONS + digest(viewer)
        return bool(await self._admit([key], [digest(session), str(limit), str(self._life_ms)]))
