"""Who asks the dashboard, and from which page.

A request counts when it shows the cookie of a session and comes from the dashboard's own page. That there is
no other page behind it is asked for in three ways, none of which needs a token to be kept: the cookie comes
along with no other site's requests (SameSite=Strict); a browser says where a request comes from
(Sec-Fetch-Site, and Origin with each that changes something), and no page can have it say something else; and
what changes something carries a header of ours, which a page of another origin may send only after a question
that delivery answers with no.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import JSONResponse, Response

from appliance.control.api.caller import address_of, is_secure
from appliance.control.api.problem import ProblemError
from appliance.control.audit import record, untrusted
from appliance.control.dashboard.cookie import shown
from appliance.control.responses import NO_STORE
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from appliance.state.operator_sessions import OperatorSessions, Session

    Handler = Callable[[Request, Session], Awaitable[object]]
    Endpoint = Callable[[Request], Awaitable[Response]]

HEADER: Final = "x-dashboard"
SIGNED_OUT: Final = "you are not signed in, or no longer"


class Guard:
    """What stands before each endpoint."""

    def __init__(self, sessions: OperatorSessions) -> None:
        self._sessions = sessions

    def seen(self, handler: Handler, *, used: bool = False) -> Endpoint:
        """The endpoint that shows what `handler` returns, to who is signed in.

        `used`: an operator does something by it, so that the session's idle time begins anew.
        """

        async def endpoint(request: Request) -> Response:
            try:
                from_our_page(request)
                result = await handler(request, await self._signed_in(request, used=used))
            except ProblemError as problem:
                return problem.response()
            except StateUnavailableError:
                return silent_state()
            return result if isinstance(result, Response) else JSONResponse(result, headers=NO_STORE)

        return endpoint

    def done(self, action: str, handler: Handler) -> Endpoint:
        """The endpoint that has `handler` do something for who is signed in; the audit log has who it was."""

        async def endpoint(request: Request) -> Response:
            operator = "-"
            try:
                changes_from_our_page(request)
                session = await self._signed_in(request, used=True)
                operator = session.operator
                result = await handler(request, session)
            except ProblemError as problem:
                audit(request, action, operator, problem.status, problem.detail)
                return problem.response()
            except StateUnavailableError as error:
                audit(request, action, operator, 503, str(error))
                return silent_state()
            audit(request, action, operator, 200 if result is not None else 204)
            if result is None:
                return Response(status_code=204, headers=NO_STORE)
            return result if isinstance(result, Response) else JSONResponse(result, headers=NO_STORE)

        return endpoint

    async def _signed_in(self, request: Request, *, used: bool) -> Session:
        session = await self._sessions.find(shown(request), used=used)
        if session is None:
            raise ProblemError(401, SIGNED_OUT)
        return session


def from_our_page(request: Request) -> None:
    """Raises ProblemError 403 when a browser says that another site's page is behind the request.

    `none`: somebody typed the address (Fetch Metadata, Sec-Fetch-Site).
    """
    if request.headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
        raise ProblemError(403, "another page is behind this request; only the dashboard's own may be")


def changes_from_our_page(request: Request) -> None:
    """Raises ProblemError 403 unless the dashboard's own page is behind a request that changes something."""
    from_our_page(request)
    ours = f"{'https' if is_secure(request) else 'http'}://{request.headers.get('host', '')}"
    # Browsers before Fetch Metadata say no Sec-Fetch-Site; all say where a request that is no GET comes from.
    if request.headers.get("origin") != ours or request.headers.get(HEADER) != "1":
        raise ProblemError(403, f"this is for the dashboard's own page at {ours}")


def silent_state() -> Response:
    """What is answered without Valkey."""
    return ProblemError(503, "The shared state is not available at the moment").response()


def audit(request: Request, action: str, operator: str, status: int, reason: str | None = None) -> None:
    """Writes down what `operator` did, or tried."""
    fields: dict[str, Any] = {
        "action": action,
        "verdict": "allowed" if status < 400 else "refused",
        "status": status,
        "operator": untrusted(operator),
        "client_ip": untrusted(address_of(request)),
        **{name: untrusted(str(value)) for name, value in request.path_params.items()},
    }
    if reason is not None:
        fields["reason"] = reason
    record("dashboard", level=logging.INFO if status < 500 else logging.WARNING, **fields)
