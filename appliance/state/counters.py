"""How often each stream was published and played, for `/streams/stats`."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from appliance.state.valkey import PREFIX, State, translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.names import StreamName

_COUNTS: Final = f"{PREFIX}counts:"
_INDEX: Final = f"{PREFIX}counted"


@dataclass(frozen=True, slots=True)
class StreamCounts:
    """The counts of one stream since the state began; the times are ISO 8601 in UTC, None for never."""

    total_publishes: int
    total_plays: int
    last_publish: str | None
    last_play: str | None


class Counters:
    """The counters of all streams. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def count(self, stream: StreamName, event: Literal["publish", "play"]) -> None:
        """Counts one accepted publish or play of `stream`, now."""
        key = _COUNTS + stream
        total = {"publish": "total_publishes", "play": "total_plays"}[event]
        moment = datetime.now(UTC).isoformat(timespec="milliseconds")
        await self._state.ask(
            ("HINCRBY", key, total, 1), ("HSET", key, f"last_{event}", moment), ("SADD", _INDEX, stream)
        )

    async def all(self) -> dict[str, StreamCounts]:
        """The counts of every stream that was ever published or played, by name."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.smembers(_INDEX)
                [members] = await pipe.execute()
                names = sorted(members)
                for name in names:
                    pipe.hgetall(_COUNTS + name)
                rows = await pipe.execute()
        return {name: _counts(row) for name, row in zip(names, rows, strict=True)}

    async def get(self, stream: StreamName) -> StreamCounts | None:
        """The counts of one stream, None when it never was."""
        [row] = await self._state.ask(("HGETALL", _COUNTS + stream))
        return _counts(row) if row else None


def _counts(row: Mapping[str, str]) -> StreamCounts:
    return StreamCounts(
        total_publishes=int(row.get("total_publishes", 0)),
        total_plays=int(row.get("total_plays", 0)),
        last_publish=row.get("last_publish"),
        last_play=row.get("last_play"),
    )
