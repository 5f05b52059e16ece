"""The cookie that carries an operator's session (RFC 6265bis).

Over HTTPS its name begins with `__Host-`, by which browsers take it from this very host and over HTTPS alone.
Over plain HTTP, which operators use through a tunnel, there is no such name. No script reads it (HttpOnly),
and no request that another site causes carries it (SameSite=Strict). It is gone with the browser.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.control.api.caller import is_secure

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

_SECURE_NAME: Final = "__Host-operator"
_PLAIN_NAME: Final = "operator"


def shown(request: Request) -> str:
    """The session's id as the browser shows it, "" for none."""
    return request.cookies.get(_SECURE_NAME if is_secure(request) else _PLAIN_NAME, "")


def give(response: Response, request: Request, session_id: str) -> None:
    """Has the browser keep `session_id`."""
    _set(response, request, session_id, None)


def take_back(response: Response, request: Request) -> None:
    """Has the browser forget it."""
    _set(response, request, "", 0)


def _set(response: Response, request: Request, value: str, max_age: int | None) -> None:
    secure = is_secure(request)
    response.set_cookie(
        _SECURE_NAME if secure else _PLAIN_NAME,
        value,
        max_age=max_age,
        path="/" if secure else "/dashboard",  # the name with the prefix wants the one
        secure=secure,
        httponly=True,
        samesite="strict",
    )
