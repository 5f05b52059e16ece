"""When the content key changes: at a segment boundary, in all renditions at the same one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.media.package.timeline import KEPT_BOUNDARIES

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
        self._keys: dict[str, bytes] = {}
        self._due = False

    def rotate(self) -> None:
        """The next segment that begins, in whichever rendition, is under a new key."""
        self._due = True

    def replace(self, keyring: Keyring) -> None:
        """The next segment that begins is under a key of `keyring`, new where the current master is.

        Raises ValueError when segments stay clear.
        """
        if self._keyring is None:
            raise ValueError("segments are clear and take no keyring")
        self._keyring = keyring

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
            # Others may come to a number later, but not to one whose boundary the timeline has forgotten.
            oldest = msn - KEPT_BOUNDARIES
            self._by_msn = {number: old for number, old in self._by_msn.items() if number > oldest}
            self._by_msn[msn] = kid
        if kid not in self._keys:
            # A keyring that came since may lack the master of a segment that is still open: keys in use stay.
            used = set(self._by_msn.values())
            self._keys = {old: key for old, key in self._keys.items() if old in used}
            self._keys[kid] = self._keyring.derive(kid, self._stream)
        return kid, self._keys[kid]

    def _choose(self, keyring: Keyring, state: StreamState, starts_at: float) -> str:
        age = starts_at - state.kid_since
        fresh = 0 <= age + _ROTATION_SLACK < self._rotation or -self._rotation < age < 0
        # A key of an older generation, or of one that is gone, is replaced by one of the keyring's current.
        current = state.kid is not None and state.kid.startswith(f"{keyring.current}-")
        if state.kid is None or self._due or not fresh or not current:
            state.kid, state.kid_since = keyring.new_key_id(), starts_at
            self._due = False
        return state.kid
