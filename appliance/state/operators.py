"""Operators of the dashboard: their names, and digests of their passwords. The same on all hosts."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from pydantic import TypeAdapter, ValidationError

from appliance.secrets.passwords import PasswordDigest
from appliance.state.valkey import PREFIX, State, StateUnavailableError, translated

OPERATOR_NAME_PATTERN: Final = r"^[a-z][a-z0-9._-]{0,31}$"

_OPERATORS: Final = f"{PREFIX}operators"
_NAME: Final = re.compile(r"[a-z][a-z0-9._-]{0,31}\Z", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operator:
    """What is kept of an operator.

    version: drawn with each password, and noted in each session, so that a new password, and the end of an
    operator, end the sessions before; times are ISO 8601, UTC.
    """

    name: str
    password: PasswordDigest = field(repr=False)
    version: str
    created_at: str
    changed_at: str


_DOCUMENT: Final = TypeAdapter(Operator)


def is_operator_name(text: str) -> bool:
    """Whether an operator may be called `text`."""
    return _NAME.match(text) is not None


class Operators:
    """The operators of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def put(self, name: str, password: PasswordDigest) -> bool:
        """Gives `name` a password; whether the operator is new. Sessions under the one before end."""
        before, now = await self.find(name), datetime.now(UTC).isoformat(timespec="milliseconds")
        record = Operator(
            name=name,
            password=password,
            version=secrets.token_hex(8),
            created_at=now if before is None else before.created_at,
            changed_at=now,
        )
        await self._state.ask_apart(("HSET", _OPERATORS, name, _DOCUMENT.dump_json(record).decode()))
        return before is None

    async def find(self, name: str) -> Operator | None:
        """The operator `name`, None when there is none."""
        [text] = await self._state.ask_apart(("HGET", _OPERATORS, name))
        return None if text is None else _read(name, text)

    async def all(self) -> list[Operator]:
        """Every operator, by name."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hgetall(_OPERATORS)
                [rows] = await pipe.execute()
        return [_read(name, text) for name, text in sorted(rows.items())]

    async def any(self) -> bool:
        """Whether there is one at all."""
        [count] = await self._state.ask_apart(("HLEN", _OPERATORS))
        return bool(count)

    async def remove(self, name: str) -> bool:
        """Forgets an operator, whose sessions end; False when there was none."""
        [removed] = await self._state.ask_apart(("HDEL", _OPERATORS, name))
        return bool(removed)


def _read(name: str, text: str) -> Operator:
    try:
        return _DOCUMENT.validate_json(text)
    except ValidationError:
        raise StateUnavailableError(
            f"Valkey: {name} in {_OPERATORS} is no record of this program; "
            f"HDEL {_OPERATORS} {name} removes it, appliance operators add {name} makes it anew"
        ) from None
