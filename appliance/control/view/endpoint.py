"""`GET /auth/view`: may this viewer watch this stream?

Delivery asks before it serves a playlist, a key or a thumbnail, and remembers the answer for some seconds.
policy → token (stream, entitlement, address) or the backend → ended sessions → concurrent sessions. Whether
the stream is live is not looked at, so no answer tells. A policy or an entitlement that the stream is
registered with does show; without them the answer is as for a stream that is not registered.

Without Valkey: what is known of a stream goes on to hold, valid tokens let in, and the backend is asked about
those who were in already. Who would be new to it is refused, as is everybody without a token of ours where
nobody can say how a stream may be watched.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from appliance.control.audit import record, untrusted
from appliance.control.first_seen import FirstSeen
from appliance.control.refusal import NOT_ALLOWED, NOT_NOW, UNPAID, RefusedError
from appliance.control.responses import NO_STORE, detail
from appliance.control.view.session_limit import SessionLimit
from appliance.control.view.tokens import ALL_STREAMS, TokenRefusedError
from appliance.control.view.verified import VerifiedTokens
from appliance.control.view.viewer import Asked, Viewer, headers_of
from appliance.names import InvalidStreamNameError, parse_stream_name
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.types import Receive, Scope, Send

    from appliance.control.context import Control
    from appliance.control.view.policy import ViewPolicy
    from appliance.control.view.tokens import ViewToken

_TEXTS: Final = {401: "A valid view token is needed", 402: UNPAID, 403: NOT_ALLOWED}

_CHALLENGE: Final = 'Bearer realm="view"'
"""An answer 401 names what would help (RFC 9110, section 11.6.1; RFC 6750, section 3)."""

_UNSEEN_SECONDS: Final = 60.0
_REMEMBERED: Final = 20_000
"""Viewers whose coming stands in the log already, and sessions of tokens; some megabytes each."""


class View:
    """The endpoint for viewers. Delivery asks; it sets the headers and lets none of a viewer's through."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._limit = SessionLimit(control.sessions)
        self._tokens = VerifiedTokens(control.token_keys, control.settings.view_token_max_seconds)
        self._viewers: dict[tuple[str, ...], Viewer] = {}  # of tokens; each comes again every few seconds
        self._first_seen = FirstSeen(seconds=_UNSEEN_SECONDS, capacity=_REMEMBERED)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The endpoint, as ASGI has it."""
        answer = await self.answer(headers_of(scope))
        await answer(scope, receive, send)

    async def answer(self, headers: Mapping[str, str]) -> Response:
        """204 yes; 401 no valid token; 402 unpaid; 403 not here, or too often at once; 503 nobody can say."""
        name, address = headers.get("x-stream", ""), headers.get("x-real-ip", "")
        try:
            viewer = await self.admit(Asked.of(headers, parse_stream_name(name)))
        except InvalidStreamNameError as error:
            _log(name, address, verdict="refused", status=403, reason=str(error))
            return detail(403, _TEXTS[403])
        except TokenRefusedError as refused:
            _log(name, address, verdict="refused", status=refused.status, reason=refused.reason)
            answer = detail(refused.status, _TEXTS[refused.status])
            if refused.status == 401:
                answer.headers["WWW-Authenticate"] = _CHALLENGE
            return answer
        except RefusedError as refused:
            _log(name, address, verdict="refused", status=refused.status, reason=refused.reason)
            return detail(refused.status, refused.text)
        # A viewer is asked about every few seconds; the log has the first time.
        if viewer.about.policy != "open" and self._first_seen((viewer.id, address)):
            who = None if viewer.about.viewer is None else untrusted(viewer.about.viewer)
            _log(name, address, verdict="allowed", status=204, viewer=who)
        # What delivery's log and count know the viewer by; it passes it on to nobody.
        return Response(status_code=204, headers={**NO_STORE, "X-Session": viewer.id})

    async def admit(self, asked: Asked) -> Viewer:
        """The session as which who asks may watch.

        Raises TokenRefusedError, and RefusedError (503) when nobody can say.
        """
        try:
            policy = await self._control.view_policy(asked.stream)
        except StateUnavailableError as error:
            raise RefusedError(503, NOT_NOW, str(error)) from None
        limit = self._control.settings.view_sessions_per_viewer
        match policy.name:
            case "open":
                viewer, limit = Viewer.unnamed(asked, "open"), 0
            case "token":
                viewer = self._of_token(asked, self._token(asked, policy))
            case "backend":
                viewer, limit = await self._by_backend(asked, policy, limit)
            case "unknown":
                viewer = self._by_token_alone(asked, policy)
        self._control.viewers.refuse_ended(viewer)
        await self._limit.check(viewer, limit)
        self._control.viewers.note(viewer)
        return viewer

    def _token(self, asked: Asked, policy: ViewPolicy) -> ViewToken:
        """The token of who asks, by which it may watch. Raises TokenRefusedError."""
        if not asked.token:
            raise TokenRefusedError(401, "no token")
        now = time.time()
        token = self._tokens.read(asked.token, now=now)
        token.permit(
            asked.stream,
            now=now,
            needs_entitlement=policy.needs_entitlement,
            entitlement=policy.entitlement,
        )
        token.permit_address(asked.address)
        return token

    def _by_token_alone(self, asked: Asked, policy: ViewPolicy) -> Viewer:
        """Nobody can say how the stream may be watched. A token of ours for this very stream does.

        One for all streams does not, as this one may want an entitlement.
        """
        unknown = RefusedError(
            503, NOT_NOW, "Valkey is silent, and how the stream may be watched is not known"
        )
        try:
            token = self._token(asked, policy)
        except TokenRefusedError as refused:
            # It may well be open, or the backend's.
            if refused.status == 401 and self._control.settings.view_policy != "token":
                raise unknown from None
            raise
        if token.stream == ALL_STREAMS:
            raise unknown
        return self._of_token(asked, token)

    def _of_token(self, asked: Asked, token: ViewToken) -> Viewer:
        """The session of who shows `token`. Of what was asked, all counts that a session is made of."""
        what = (asked.stream, asked.address, asked.user_agent, token.digest)
        viewer = self._viewers.get(what)
        if viewer is None:
            viewer = self._viewers[what] = Viewer.of_token(asked, token)
            if len(self._viewers) > _REMEMBERED:
                del self._viewers[next(iter(self._viewers))]
        return viewer

    async def _by_backend(self, asked: Asked, policy: ViewPolicy, limit: int) -> tuple[Viewer, int]:
        """Returns who may watch, and how often at once."""
        backend = self._control.backend
        if backend is None:
            reason = "the stream's viewers are the backend's, and there is none: set http_callback_url"
            raise RefusedError(503, NOT_NOW, reason)
        viewer = Viewer.unnamed(asked, "backend")
        viewers = self._control.viewers
        viewers.refuse_ended(viewer)
        if viewers.silent and not viewers.is_in(viewer):
            reason = "Valkey is silent: of those that the backend lets in, only who was in before watches on"
            raise RefusedError(503, NOT_NOW, reason)
        grant = await backend.view_judge.judge(asked, viewer, policy.entitlement)
        about = replace(viewer.about, viewer=grant.viewer, expires=grant.expires)
        subject = viewer.subject if grant.viewer is None else f"backend {grant.viewer}"
        most = limit if grant.max_sessions is None else grant.max_sessions
        return replace(viewer, about=about, subject=subject), most


def _log(name: str, address: str, **fields: Any) -> None:
    record("view", **fields, stream=untrusted(name), client_ip=untrusted(address))
