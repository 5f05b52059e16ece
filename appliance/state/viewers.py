"""Who watches which stream, on all hosts together, and whose session an operator has ended.

A stream's viewers are those seen within WINDOW_SECONDS. Times are Valkey's own, as hosts need not agree on
the time; the end of a refusal is the end of a token, which is in the time of all hosts.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.names import StreamName

WINDOW_SECONDS: Final = 30.0
"""Who was not seen for so long has left: players ask every few seconds, delivery remembers up to 10 s."""

_SEEN: Final = f"{PREFIX}viewers_seen:"
_IDS: Final = f"{PREFIX}viewers:"
_ABOUT: Final = f"{PREFIX}viewers_about:"
_ENDED: Final = f"{PREFIX}viewers_ended"
_AT_ONCE: Final = 500
"""Viewers in one call of a script, which Valkey runs while all others wait."""


@dataclass(frozen=True, slots=True, kw_only=True)
class About:
    """What is kept of a session. token: a digest, which nobody is shown; expires: Unix seconds."""

    viewer: str | None
    session: str | None
    address: str
    user_agent: str
    policy: str
    token: str | None = None
    expires: float | None = None


@dataclass(frozen=True, slots=True)
class Watching:
    """A session that is there. since, seen: Unix seconds by Valkey's clock."""

    id: str
    about: About
    since: float
    seen: float


@dataclass(frozen=True, slots=True)
class Page:
    """Some of a stream's viewers, in the order of their ids, and how many there are in all."""

    items: list[Watching]
    total: int


_DOCUMENT: Final = TypeAdapter(About)


class ViewerSessions:
    """The viewers of all streams. Every method raises StateUnavailableError."""

    def __init__(self, state: State, *, window_seconds: float = WINDOW_SECONDS) -> None:
        self._state = state
        self._window_ms = str(round(1000 * window_seconds))
        self._note = Script(state, "note_viewers")
        self._page = Script(state, "viewers")

    async def note(self, stream: StreamName, sessions: Mapping[str, About]) -> None:
        """Sessions of `stream`, by their ids, were seen now."""
        rows = list(sessions.items())
        for begin in range(0, len(rows), _AT_ONCE):
            arguments = [self._window_ms]
            for session_id, about in rows[begin : begin + _AT_ONCE]:
                arguments += [session_id, _DOCUMENT.dump_json(about).decode()]
            await self._note(_keys(stream), arguments)

    async def page(self, stream: StreamName, *, after: str, limit: int) -> Page:
        """At most `limit` viewers whose ids follow `after`; what cannot be read is left out."""
        arguments = [self._window_ms, f"({after}" if after else "-", str(limit)]
        total, *rows = await self._page(_keys(stream), arguments)
        read = [_watching(*row) for row in rows]
        return Page([each for each in read if each is not None], int(total))

    async def get(self, stream: StreamName, session_id: str) -> About | None:
        """What is kept of one session, None when it is not there."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hget(_ABOUT + stream, session_id)
                [text] = await pipe.execute()
        return None if text is None else _about(text)

    async def end(self, who: Sequence[str], until: float) -> None:
        """Refuses `who` (see `ended`) until Unix time `until`."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.zremrangebyscore(_ENDED, "-inf", time.time())
                pipe.zadd(_ENDED, dict.fromkeys(who, until), gt=True)
                await pipe.execute()

    async def ended(self) -> dict[str, float]:
        """Who is refused, ids of sessions and digests of tokens, and until when (Unix seconds)."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.zrangebyscore(_ENDED, time.time(), "+inf", withscores=True)
                [rows] = await pipe.execute()
        return {str(who): float(until) for who, until in rows}


def _keys(stream: StreamName) -> list[str]:
    return [_SEEN + stream, _IDS + stream, _ABOUT + stream]


def _watching(session_id: str, text: str, since: str, seen: str) -> Watching | None:
    about = _about(text)
    return None if about is None else Watching(session_id, about, float(since) / 1000, float(seen) / 1000)


def _about(text: str) -> About | None:
    try:
        return _DOCUMENT.validate_json(text)
    except ValidationError:
        return None
