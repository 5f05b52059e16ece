"""`GET /auth/view`: may this viewer watch this stream?

Delivery asks before it serves a playlist, a key or a thumbnail, and remembers the answer for some seconds.
policy → token → stream, entitlement, address → concurrent sessions. Whether the stream exists is not looked
at, so no answer tells.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from appliance.control.audit import record, untrusted
from appliance.control.first_seen import FirstSeen
from appliance.control.responses import NO_STORE, detail
from appliance.control.verified_tokens import VerifiedTokens
from appliance.control.view_sessions import SessionLimit
from appliance.control.view_tokens import TokenRefusedError, ViewToken
from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control

_TEXTS: Final = {401: "A valid view token is needed", 402: "Payment required", 403: "Not allowed"}

_CHALLENGE: Final = 'Bearer realm="view"'
"""An answer 401 names what would help (RFC 9110, section 11.6.1; RFC 6750, section 3)."""

_YES: Final = Response(status_code=204, headers=NO_STORE)
"""The same for all: an answer keeps nothing of the request that it is for."""

_UNSEEN_SECONDS: Final = 60.0
_REMEMBERED: Final = 20_000
"""Viewers whose coming stands in the log already; a few megabytes."""


class View:
    """The endpoint for viewers. Delivery asks; it sets the headers and lets none of a viewer's through."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._limit = SessionLimit(control.sessions, control.settings.view_sessions_per_viewer)
        self._tokens = VerifiedTokens(control.token_keys, control.settings.view_token_max_seconds)
        self._first_seen = FirstSeen(seconds=_UNSEEN_SECONDS, capacity=_REMEMBERED)

    async def endpoint(self, request: Request) -> Response:
        """204 yes; 401 no valid token; 402 not paid for; 403 not here, or too often at once."""
        name, address = request.headers.get("x-stream", ""), request.headers.get("x-real-ip", "")
        seen: dict[str, Any] = {"stream": untrusted(name), "client_ip": untrusted(address)}
        try:
            stream = parse_stream_name(name)
            token = await self.admit(stream, request.headers.get("x-view-token", ""), address)
        except InvalidStreamNameError as error:
            record("view", verdict="refused", status=403, reason=str(error), **seen)
            return detail(403, _TEXTS[403])
        except TokenRefusedError as refused:
            record("view", verdict="refused", status=refused.status, reason=refused.reason, **seen)
            answer = detail(refused.status, _TEXTS[refused.status])
            if refused.status == 401:
                answer.headers["WWW-Authenticate"] = _CHALLENGE
            return answer
        # A viewer is asked about every few seconds; the log has the first time.
        if token is not None and self._first_seen((token.digest, stream, address)):
            viewer = None if token.viewer is None else untrusted(token.viewer)
            record("view", verdict="allowed", status=204, viewer=viewer, **seen)
        return _YES

    async def admit(self, stream: StreamName, text: str, address: str) -> ViewToken | None:
        """The token by which a viewer at `address` may watch `stream`; None where none is needed.

        Raises TokenRefusedError.
        """
        policy = await self._control.view_policy(stream)
        if policy.name == "open":
            return None
        if not text:
            raise TokenRefusedError(401, "no token")
        now = time.time()
        token = self._tokens.read(text, now=now)
        token.permit(stream, now=now, needs_entitlement=policy.needs_entitlement)
        token.permit_address(address)
        await self._limit.check(token, address)
        return token
