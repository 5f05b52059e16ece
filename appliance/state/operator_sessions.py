"""Who is signed in to the dashboard: a random id in a cookie, of which only a digest stands in Valkey.

A session ends when nobody has used it for a while, at the latest some hours after it began, at a sign-out,
and with the password under which it began.
"""

from __future__ import annotations

import hashlib
import re
import secrets
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydantic import TypeAdapter, ValidationError

from appliance.state.operators import Operators
from appliance.state.valkey import PREFIX, State

if TYPE_CHECKING:
    from appliance.state.operators import Operator

_SESSION: Final = f"{PREFIX}operator_session:"
_FORM: Final = re.compile(r"[A-Za-z0-9_-]{43}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """A session of `operator`, which began under that `version` of the password; until: Unix seconds."""

    operator: str
    version: str
    until: float


_DOCUMENT: Final = TypeAdapter(Session)


class OperatorSessions:
    """The sessions of all hosts. Every method raises StateUnavailableError.

    Parameters
    ----------
    idle_seconds
        How long one lasts that nobody uses.
    most_seconds
        How long one lasts at most.
    """

    def __init__(self, state: State, *, idle_seconds: float, most_seconds: float) -> None:
        self._state = state
        self._operators = Operators(state)
        self._idle = idle_seconds
        self._most = most_seconds

    async def begin(self, operator: Operator) -> tuple[str, Session]:
        """Makes a session; returns its id, which is kept nowhere, and what is known of it."""
        shown = secrets.token_urlsafe(32)
        session = Session(operator=operator.name, version=operator.version, until=time.time() + self._most)
        text = _DOCUMENT.dump_json(session).decode()
        await self._state.ask_apart(("SET", _key(shown), text, "PX", str(self._life_ms(session))))
        return shown, session

    async def find(self, shown: str, *, used: bool) -> Session | None:
        """The session with the id `shown`, None when there is none or no longer.

        `used`: somebody does something with it, so that its idle time begins anew.
        """
        if _FORM.fullmatch(shown) is None:
            return None
        [text] = await self._state.ask_apart(("GET", _key(shown)))
        try:
            session = None if text is None else _DOCUMENT.validate_json(text)
        except ValidationError:
            return None
        if session is None or session.until <= time.time():
            return None
        operator = await self._operators.find(session.operator)
        if operator is None or operator.version != session.version:
            return None
        if used:
            await self._state.ask_apart(("PEXPIRE", _key(shown), str(self._life_ms(session))))
        return session

    async def end(self, shown: str) -> None:
        """Ends the session with the id `shown`."""
        await self._state.ask_apart(("DEL", _key(shown)))

    def _life_ms(self, session: Session) -> int:
        return max(1, round(1000 * min(self._idle, session.until - time.time())))


def _key(shown: str) -> str:
    # Drawn from 256 bits: nothing that a slow hash would have to protect.
    return _SESSION + hashlib.sha256(shown.encode()).hexdigest()
