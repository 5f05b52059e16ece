"""Where a request of the API or the dashboard comes from. Delivery says it, and lets nobody else say it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.api.problem import ProblemError
from appliance.control.callback import is_loopback

if TYPE_CHECKING:
    from starlette.requests import Request


def address_of(request: Request) -> str:
    """Who asks: whom delivery asks for, or the peer, on this host, that asks by itself."""
    peer = "" if request.client is None else request.client.host
    return request.headers.get("x-forwarded-for", "") or peer


def is_secure(request: Request) -> bool:
    """Whether it came over HTTPS."""
    return request.headers.get("x-forwarded-proto") == "https"


def require_secrecy(request: Request, what: str) -> None:
    """Raises ProblemError 403, in the words `what`, when it came in the clear from another host."""
    if not is_secure(request) and not is_loopback(address_of(request)):
        raise ProblemError(403, what)
