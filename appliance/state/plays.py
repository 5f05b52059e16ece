"""Who was let in to play over RTMP, so that their leaving can be told, also after a restart.

nginx says "done" of refused players too, and by its number of the connection alone.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Self

from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name
from appliance.state.events import EVENTS
from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from appliance.state.events import Event

_PLAYS: Final = f"{PREFIX}plays:"
_HOSTS: Final = f"{PREFIX}play_hosts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Play:
    """A player. session: random, unique for ever; since: unix seconds by the host's clock."""

    stream: StreamName
    app: str
    client_ip: str
    session: str
    since: float

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """What `dumps` wrote, None when it is something else."""
        try:
            fields = json.loads(text)
            return cls(
                stream=parse_stream_name(str(fields["stream"])),
                app=str(fields["app"]),
                client_ip=str(fields["client_ip"]),
                session=str(fields["session"]),
                since=float(fields["since"]),
            )
        except (ValueError, TypeError, KeyError, InvalidStreamNameError):
            return None

    def dumps(self) -> str:
        """As it is kept."""
        return json.dumps(asdict(self))


class Plays:
    """The players of one host, by nginx's number of the connection.

    Every method raises StateUnavailableError.
    """

    def __init__(self, state: State, host: str) -> None:
        self._state = state
        self._client = state.client
        self._host = host
        self._key = _PLAYS + host
        self._end = Script(state, "end_play")

    async def begin(self, client: str, play: Play) -> None:
        """The connection `client` was let in."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hset(self._key, client, play.dumps())
                await pipe.execute()

    async def all(self) -> dict[str, Play]:
        """Those who were let in and have not left; what cannot be read is left out."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hgetall(self._key)
                [rows] = await pipe.execute()
        plays = {client: Play.parse(text) for client, text in rows.items()}
        return {client: play for client, play in plays.items() if play is not None}

    async def end(self, client: str, told: Event) -> bool:
        """The connection `client` has left; False when it had already. `told` is stored in the same step."""
        return bool(await self._end([self._key, EVENTS], [client, *told.arguments()]))

    def of(self, host: str) -> Plays:
        """Those of another host."""
        return Plays(self._state, host)

    async def beat(self) -> dict[str, float]:
        """Says that this host is there; how often each host has said so."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.zincrby(_HOSTS, 1, self._host)
                pipe.zrange(_HOSTS, 0, -1, withscores=True)
                [_, rows] = await pipe.execute()
        return dict(rows)

    async def retire(self) -> None:
        """This host is gone, until it says that it is there again."""
        with translated():
            await self._client.zrem(_HOSTS, self._host)
