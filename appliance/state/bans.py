"""Who may not try again for a while, after failing too often; on all hosts alike (`appliance.address`).

`Bans` are of addresses that publish, `Lockouts` of whoever else is counted by a name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.address import subject
from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is banned (an address, or an IPv6 network), and for how many seconds more."""

    who: str
    seconds: float


class Lockouts:
    """Whoever fails so often is locked out. Every method raises StateUnavailableError.

    Parameters
    ----------
    kind
        What the keys in Valkey begin with: those of one kind know nothing of another's.
    failures
        So many within `window_seconds` lock out for `ban_seconds`; 0 never does.
    """

    def __init__(
        self, state: State, *, kind: str, failures: int, window_seconds: float, ban_seconds: float
    ) -> None:
        self._state = state
        self._failed = f"{PREFIX}{kind}failures:"
        self._out = f"{PREFIX}{kind}bans"
        self._failures = failures
        self._window_ms = round(window_seconds * 1000)
        self._ban_ms = round(ban_seconds * 1000)
        self._fail = Script(state, "fail")
        self._list = Script(state, "bans")

    async def fail(self, who: str) -> bool:
        """Counts a failure of `who`; whether it is locked out from now on."""
        if not self._failures:
            return False
        arguments = [who, str(self._window_ms), str(self._failures), str(self._ban_ms)]
        return bool(await self._fail([self._failed + who, self._out], arguments))

    async def find(self, who: str) -> Ban | None:
        """What `who` is under, None when it may try."""
        return next(iter(_read(await self._list([self._out], [who]))), None)

    async def all(self) -> list[Ban]:
        """Every one, the one that ends first at the head."""
        return _read(await self._list([self._out], [""]))

    async def lift(self, who: str) -> bool:
        """Ends one; False when there was none."""
        with translated():
            return bool(await self._state.client.zrem(self._out, who))


class Bans(Lockouts):
    """Addresses that may not publish. This host never is banned; of IPv6 a network of 64 bits is one."""

    def __init__(self, state: State, *, failures: int, window_seconds: float, ban_seconds: float) -> None:
        super().__init__(
            state, kind="", failures=failures, window_seconds=window_seconds, ban_seconds=ban_seconds
        )

    async def fail(self, who: str) -> bool:
        """Counts a failure of the address `who`; whether it is banned from now on."""
        known = subject(who)
        return known is not None and await super().fail(known)

    async def find(self, who: str) -> Ban | None:
        """The ban that the address `who` is under, None when it may try."""
        known = subject(who)
        return None if known is None else await super().find(known)

    async def lift(self, who: str) -> bool:
        """Ends a ban; False when there was none."""
        return await super().lift(subject(who) or who)


def _read(rows: Sequence[Sequence[str | int]]) -> list[Ban]:
    return [Ban(str(who), int(milliseconds) / 1000) for who, milliseconds in rows]
