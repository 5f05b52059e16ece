"""View tokens that were verified a moment ago: a viewer shows the same one every few seconds.

Whether a signature is right does not change while the keys stay the same, and to see that costs more than all
the rest of a decision. What does change, the time, is looked at each time; what a token is for is the
caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.control.view.tokens import ViewToken, read

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.secrets.token_keys import TokenKeys

_REMEMBERED: Final = 20_000
"""Tokens; with 2 KB each, the longest there are, 80 MB of the service's 512 MB, usually a tenth of that."""


class VerifiedTokens:
    """Reads tokens as `tokens.read` does, and remembers those that were good.

    Parameters
    ----------
    keys
        The keys that hold at present. When they change, everything is read anew.
    max_seconds
        How far ahead the end of a token may be.
    capacity
        How many are remembered; beyond it the oldest is forgotten.
    """

    def __init__(
        self, keys: Callable[[], TokenKeys], max_seconds: float, *, capacity: int = _REMEMBERED
    ) -> None:
        self._keys = keys
        self._max_seconds = max_seconds
        self._capacity = capacity
        self._verified: dict[str, tuple[float, ViewToken]] = {}
        self._verified_by: TokenKeys | None = None

    def read(self, text: str, *, now: float) -> ViewToken:
        """What the token `text` says. `now`: Unix seconds. Raises TokenRefusedError (401)."""
        keys = self._keys()
        if keys != self._verified_by:
            self._verified.clear()
            self._verified_by = keys
        known = self._verified.get(text)
        # By a clock that was set back it may not hold yet.
        if known is not None and known[0] <= now < known[1].expires:
            return known[1]
        self._verified.pop(text, None)
        token = read(text, keys, now=now, max_seconds=self._max_seconds)
        self._verified[text] = (now, token)
        if len(self._verified) > self._capacity:
            del self._verified[next(iter(self._verified))]
        return token
