"""Who asks: bearer tokens (RFC 6750) with scopes."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from appliance.control.api.caller import require_secrecy
from appliance.control.api.problem import ProblemError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.api_tokens import Scope

ADMIN: Final = "admin"
"""Who shows the host's own credential `admin-token`, as its commands do: everything is allowed."""

_MOST_LETTERS: Final = 256
_IN_THE_CLEAR: Final = (
    "over plain HTTP anybody on the way could read the bearer token; use https://, and replace a token that "
    "was sent without it"
)


async def authorise(request: Request, control: Control, scope: Scope) -> str:
    """Returns the id of the token that allows `scope`, which the log may name.

    What is known of it stands in `request.state.token`, None for ADMIN. Raises ProblemError 401 without a
    valid token, and 403 without the scope or over plain HTTP from another host; StateUnavailableError.
    """
    require_secrecy(request, _IN_THE_CLEAR)
    scheme, _, shown = request.headers.get("authorization", "").partition(" ")
    shown = shown.strip()
    if scheme.lower() != "bearer" or not shown or len(shown) > _MOST_LETTERS:
        raise _challenge("no bearer token was shown")
    # Each is compared, in constant time.
    fits = [hmac.compare_digest(shown.encode(), one.encode()) for one in control.secrets.admin_tokens()]
    request.state.token = None
    if any(fits):
        return ADMIN
    token = await control.api_tokens.find(shown)
    if token is None:
        raise _challenge("the bearer token is unknown or has expired")
    if scope not in token.scopes:
        raise ProblemError(
            403,
            f"the token {token.id} lacks the scope {scope}; it has: {', '.join(token.scopes)}",
            headers={"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
        )
    request.state.token = token
    return token.id


def _challenge(text: str) -> ProblemError:
    return ProblemError(401, text, headers={"WWW-Authenticate": 'Bearer realm="appliance"'})
