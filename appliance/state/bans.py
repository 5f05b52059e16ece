"""Who may not try again for a while, after failing too often; on all hosts alike (`appliance.address`)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.address import subject
from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from collections.abc import Sequence

_FAILURES: Final = f"{PREFIX}failures:"
_BANS: Final = f"{PREFIX}bans"


@dataclass(frozen=True, slots=True)
class Ban:
    """Who is banned (an address, or an IPv6 network), and for how many seconds more."""

    who: str
    seconds: float


class Bans:
    """The bans of all hosts. Every method raises StateUnavailableError.

    Parameters
    ----------
    failures
        So many within `window_seconds` ban for `ban_seconds`; 0 bans nobody.
    """

    def __init__(self, state: State, *, failures: int, window_seconds: float, ban_seconds: float) -> None:
        self._state = state
        self._failures = failures
        self._window_ms = round(window_seconds * 1000)
        self._ban_ms = round(ban_seconds * 1000)
        self._fail = Script(state, "fail")
        self._list = Script(state, "bans")

    async def fail(self, address: str) -> bool:
        """Counts a failure of `address`; whether it is banned from now on. This host never is."""
        who = subject(address)
        if who is None or not self._failures:
            return False
        arguments = [who, str(self._window_ms), str(self._failures), str(self._ban_ms)]
        return bool(await self._fail([_FAILURES + who, _BANS], arguments))

    async def find(self, address: str) -> Ban | None:
        """The ban that `address` is under, None when it may try."""
        who = subject(address)
        if who is None:
            return None
        return next(iter(_read(await self._list([_BANS], [who]))), None)

    async def all(self) -> list[Ban]:
        """Every ban, the one that ends first at the head."""
        return _read(await self._list([_BANS], [""]))

    async def lift(self, who: str) -> bool:
        """Ends a ban; False when there was none."""
        with translated():
            return bool(await self._state.client.zrem(_BANS, subject(who) or who))


def _read(rows: Sequence[Sequence[str | int]]) -> list[Ban]:
    return [Ban(str(who), int(milliseconds) / 1000) for who, milliseconds in rows]
