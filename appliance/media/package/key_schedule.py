"""When the content key changes: at a segment boundary, in all renditions at the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from appliance.media.package.catalogue import StreamState
    from appliance.secrets.keyring import Keyring

# Early by less than a frame is on time.
_ROTATION_SLACK: Final = 0.1


class KeySchedule:
    """Which content key a segment is under: one for each number of an epoch, the same in all renditions.

    `keyring` None means that segments stay clear.
    """

    def __init__(self, stream: str, keyring: Keyring | None, rotation_seconds: float) -> None:
        self._stream = stream
        self._keyring = keyring
        self._rotation = rotation_seconds
        self._epoch: str | None = None
        self._by_msn: dict[int, str] = {}
        self._key: tuple[str, bytes] | None = None

    def key(self, state: StreamState, msn: int, starts_at: float) -> tuple[str, bytes] | None:
        """Id and key of segment `msn`, starting at `starts_at` (unix seconds); None without encryption."""
        if self._keyring is None:
            return None
        if state.epoch != self._epoch:
            # Numbers start over with an epoch, keys do not.
            self._epoch, self._by_msn = state.epoch, {}
        kid = self._by_msn.get(msn)
        if kid is None:
            kid = self._choose(self._keyring, state, starts_at)
            self._by_msn = {number: old for number, old in self._by_msn.items() if number > msn - 100}
            self._by_msn[msn] = kid
        if self._key is None or self._key[0] != kid:
            self._key = (kid, self._keyring.derive(kid, self._stream))
        return self._key

    def _choose(self, keyring: Keyring, state: StreamState, starts_at: float) -> str:
        age = starts_at - state.kid_since
        fresh = 0 <= age + _ROTATION_SLACK < self._rotation or -self._rotation < age < 0
        # A key of an older generation, or of one that is gone, is replaced after a restart with a new
        # keyring.
        if state.kid is None or not fresh or not state.kid.startswith(f"{keyring.current}-"):
            state.kid, state.kid_since = keyring.new_key_id(), starts_at
        return state.kid
