"""What happened lately on all hosts, in words: a bounded stream in Valkey, for the dashboard.

The audit log in the journal is the record; this is its newest page (`appliance.control.dashboard.recent`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

from appliance.state.valkey import PREFIX, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.state.valkey import State

KEPT: Final = 300

_HAPPENINGS: Final = f"{PREFIX}happenings"
_LIFE_MS: Final = 7 * 86_400 * 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Happening:
    """One thing that happened on `host`; stream: what it is about, "" for none; level: info or warning."""

    host: str
    stream: str
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Placed:
    """A happening and where it stands; at: Unix seconds by Valkey's clock."""

    position: str
    at: float
    what: Happening


class Happenings:
    """Those of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def add(self, happenings: Sequence[Happening]) -> None:
        """Adds `happenings`; the oldest beyond KEPT go."""
        if not happenings:
            return
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                for each in happenings:
                    # valkey-py's types know no mapping of texts to texts
                    pipe.xadd(_HAPPENINGS, {**asdict(each)}, maxlen=KEPT, approximate=False)
                pipe.pexpire(_HAPPENINGS, _LIFE_MS)
                await pipe.execute()

    async def newest(self, count: int) -> list[Placed]:
        """The newest `count`, the oldest of them first."""
        with translated():
            rows = await self._state.client.xrevrange(_HAPPENINGS, count=count)
        return [_read(*row) for row in reversed(rows)]

    async def after(self, position: str, count: int) -> list[Placed]:
        """At most `count` behind `position`, in order."""
        with translated():
            rows = await self._state.client.xrange(_HAPPENINGS, min=f"({position}", count=count)
        return [_read(*row) for row in rows]


def _read(position: str, fields: Mapping[str, str]) -> Placed:
    what = Happening(**{name: fields.get(name, "") for name in ("host", "stream", "level", "text")})
    return Placed(position, int(position.partition("-")[0]) / 1000, what)
