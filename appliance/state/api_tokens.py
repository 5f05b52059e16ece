"""Bearer tokens of the API: who may do what. Kept as digests, as stream keys are."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, TypeAdapter, ValidationError

from appliance.secrets.moment import is_over
from appliance.state.valkey import PREFIX, State, StateUnavailableError, translated

Scope = Literal[
    "streams:read",
    "streams:write",
    "publishers:drop",
    "viewers:read",
    "viewers:drop",
    "view-tokens:write",
    "bans:write",
    "tokens:write",
]
"""What a token allows; `openapi.json` says which operation needs which."""

SCOPES: Final[tuple[Scope, ...]] = get_args(Scope)

_TOKENS: Final = f"{PREFIX}api_tokens"
_FORM: Final = re.compile(r"at_([0-9a-f]{12})_([A-Za-z0-9_-]{43})", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiToken:
    """What is kept of a token. Times are ISO 8601, UTC."""

    id: str
    digest: str = field(repr=False)
    scopes: Annotated[tuple[Scope, ...], Field(min_length=1)]
    note: str
    created_at: str
    expires_at: str | None


_DOCUMENT: Final = TypeAdapter(ApiToken)


class ApiTokens:
    """The tokens of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._state = state

    async def create(
        self, scopes: tuple[Scope, ...], *, note: str, expires_at: str | None
    ) -> tuple[ApiToken, str]:
        """Makes a token; returns its record, and the token, which is kept nowhere."""
        token_id, secret = secrets.token_hex(6), secrets.token_urlsafe(32)
        record = ApiToken(
            id=token_id,
            digest=_digest(secret),
            scopes=scopes,
            note=note,
            created_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            expires_at=expires_at,
        )
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hset(_TOKENS, token_id, _DOCUMENT.dump_json(record).decode())
                await pipe.execute()
        return record, f"at_{token_id}_{secret}"

    async def find(self, shown: str) -> ApiToken | None:
        """The token that `shown` is, None when it is none, or no longer."""
        match = _FORM.fullmatch(shown)
        if match is None:
            return None
        [text] = await self._state.ask(("HGET", _TOKENS, match[1]))
        record = None if text is None else _read(match[1], text)
        if record is None or not hmac.compare_digest(_digest(match[2]), record.digest):
            return None
        return None if is_over(record.expires_at) else record

    async def all(self) -> list[ApiToken]:
        """Every token, the oldest first; also those that have expired."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hgetall(_TOKENS)
                [rows] = await pipe.execute()
        tokens = [_read(token_id, text) for token_id, text in rows.items()]
        return sorted(tokens, key=lambda token: (token.created_at, token.id))

    async def remove(self, token_id: str) -> bool:
        """Forgets a token; False when there was none."""
        with translated():
            async with self._state.client.pipeline(transaction=False) as pipe:
                pipe.hdel(_TOKENS, token_id)
                [removed] = await pipe.execute()
        return bool(removed)


def _digest(secret: str) -> str:
    # Drawn from 256 bits: nothing that a slow hash would have to protect.
    return hashlib.sha256(secret.encode()).hexdigest()


def _read(token_id: str, text: str) -> ApiToken:
    try:
        return _DOCUMENT.validate_json(text)
    except ValidationError:
        raise StateUnavailableError(
            f"Valkey: {token_id} in {_TOKENS} is no record of this program; "
            f"HDEL {_TOKENS} {token_id} removes it"
        ) from None
