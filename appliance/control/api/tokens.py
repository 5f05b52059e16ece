"""Operations on the API's own bearer tokens."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from appliance.control.api.models import NewToken, Token, TokenList, TokenSpec
from appliance.control.api.operations import Operation
from appliance.control.api.problem import ProblemError
from appliance.secrets.moment import is_over

if TYPE_CHECKING:
    from collections.abc import Sequence

    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.api_tokens import ApiToken


class TokenOperations:
    """The operations, and what they do."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """All of them, as the API lists them."""
        return [
            Operation(
                id="listApiTokens", method="GET", path="/api-tokens", scope="tokens:write",
                summary="The bearer tokens, without their secrets", handler=self.all, answer=TokenList,
            ),
            Operation(
                id="createApiToken", method="POST", path="/api-tokens", scope="tokens:write",
                summary="Make a bearer token, for no more and no longer than the one that asks has; it is "
                "shown in this answer only",
                handler=self.create, body=TokenSpec, answer=NewToken, status=201,
            ),
            Operation(
                id="deleteApiToken", method="DELETE", path="/api-tokens/{token}", scope="tokens:write",
                summary="Forget a bearer token; it is refused from now on", handler=self.delete, status=204,
                problems={404: "There is no such token."},
            ),
        ]  # fmt: skip

    async def all(self, _: Request, __: Any) -> TokenList:
        """All tokens, also those that have expired."""
        return TokenList(items=[_shown(token) for token in await self._control.api_tokens.all()])

    async def create(self, request: Request, body: TokenSpec) -> NewToken:
        """Makes one."""
        ends = None
        if body.expires_in_seconds is not None:
            moment = datetime.now(UTC) + timedelta(seconds=body.expires_in_seconds)
            ends = moment.isoformat(timespec="milliseconds")
        if (own := request.state.token) is not None:
            _within(own, body.scopes, ends)
        record, token = await self._control.api_tokens.create(body.scopes, note=body.note, expires_at=ends)
        return NewToken(**_shown(record).model_dump(), token=token)

    async def delete(self, request: Request, _: Any) -> None:
        """Forgets one."""
        token = request.path_params["token"]
        if not await self._control.api_tokens.remove(token):
            raise ProblemError(404, f"there is no token {token}")


def _within(own: ApiToken, scopes: Sequence[str], ends: str | None) -> None:
    """Raises ProblemError 403 when `own` would give away what it has not."""
    if lacking := sorted(set(scopes) - set(own.scopes)):
        raise ProblemError(403, f"the token {own.id} lacks {', '.join(lacking)}, so it gives it to no other")
    until = None if ends is None else datetime.fromisoformat(ends)
    if own.expires_at is None or (until is not None and not is_over(own.expires_at, until)):
        return
    raise ProblemError(403, f"the token {own.id} ends at {own.expires_at}, and so do those that it makes")


def _shown(token: ApiToken) -> Token:
    return Token(
        id=token.id,
        scopes=token.scopes,
        note=token.note,
        created_at=token.created_at,
        expires_at=token.expires_at,
    )
