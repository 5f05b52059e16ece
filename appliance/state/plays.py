"""Who was let in to play over RTMP, so that their leaving can be told, also after a restart.

nginx says "done" of refused players too, and by its number of the connection alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.state.events import EVENTS
from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from appliance.state.events import Event

_PLAYS: Final = f"{PREFIX}plays:"
_LIFE_SECONDS: Final = 7 * 86_400
"""Of a host's players without a new one: those whose leaving was lost are forgotten then."""


class Plays:
    """The players of one host. Every method raises StateUnavailableError."""

    def __init__(self, state: State, host: str) -> None:
        self._client = state.client
        self._key = _PLAYS + host
        self._end = Script(state, "end_play")

    async def begin(self, client: str, session: str) -> None:
        """The connection `client` was let in, and is called `session` in what is told."""
        with translated():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.hset(self._key, client, session)
                pipe.expire(self._key, _LIFE_SECONDS)
                await pipe.execute()

    async def session(self, client: str) -> str | None:
        """What the connection `client` is called, None when it was not let in or has left."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hget(self._key, client)
                [found] = await pipe.execute()
        return None if found is None else str(found)

    async def end(self, client: str, told: Event) -> bool:
        """The connection `client` has left; False when it had already. `told` is stored in the same step."""
        return bool(await self._end([self._key, EVENTS], [client, *told.arguments()]))
