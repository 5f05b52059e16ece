"""`POST /auth/play`: RTMP play is for the streams' own readers, unless a setting opens it.

Then the backend, where there is one, decides about each player. A stream whose viewers need a token, or an
entitlement, is not played so: nothing would look at it again, and what is sent is not encrypted. Who is let
in plays to the end: no end of a grant, no number of sessions and no ended session counts here.
A reader is recognised by a secret and by coming from this host; either alone is not enough.
"""

from __future__ import annotations

import asyncio
import hmac
import logging
import secrets
import time
from typing import TYPE_CHECKING, Any, Final

from starlette.background import BackgroundTask
from starlette.responses import Response

from appliance.control.audit import record, untrusted
from appliance.control.callback import Callback, read_or_refuse
from appliance.control.lost import DECISION_SECONDS
from appliance.control.refusal import NOT_ALLOWED, NOT_NOW
from appliance.control.responses import detail, ok
from appliance.names import APPLICATION, InvalidStreamNameError, StreamName, parse_stream_name
from appliance.state.event_kinds import play_ended, play_started
from appliance.state.plays import Play as PlayOfClient
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control

_HEADSTART_SECONDS: Final = 0.01
"""nginx reads our answer and adds the reader to the stream; only then may the publisher be let in."""


class Play:
    """The endpoint for RTMP players."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def endpoint(self, request: Request) -> Response:
        """200 allowed; 400 not a callback; 403 everything else, or what the backend says."""
        callback = await read_or_refuse(request, "play")
        if isinstance(callback, Response):
            return callback
        seen: dict[str, Any] = {"stream": untrusted(callback.name), "client_ip": untrusted(callback.addr)}
        try:
            stream = parse_stream_name(callback.name)
        except InvalidStreamNameError as error:
            record("play", verdict="refused", status=403, reason=str(error), **seen)
            return detail(403, NOT_ALLOWED)
        answer = ok({"status": "allowed", "stream_key": stream})
        if callback.app == APPLICATION and self._is_reader(callback):
            # After the answer is on its way, so that nginx has the reader before it has the publisher.
            answer.background = BackgroundTask(self._joined, stream, callback.client)
            record("play", verdict="allowed", status=200, reader=True, **seen)
            return answer
        if (why := await self._not_by_rtmp(callback.app, stream)) is not None:
            record("play", verdict="refused", status=403, reason=why, **seen)
            return detail(403, NOT_ALLOWED)
        if (refusal := await self._ask_backend(stream, callback, seen)) is not None:
            return refusal
        await self._count(stream)
        record("play", verdict="allowed", status=200, reader=False, **seen)
        return answer

    async def _not_by_rtmp(self, app: str, stream: StreamName) -> str | None:
        """Why nobody may play the stream over RTMP, None when somebody may."""
        if app != APPLICATION or not self._control.settings.rtmp_play:
            return "RTMP play is off"
        try:
            policy = await self._control.view_policy(stream)
        except StateUnavailableError as error:
            return str(error)
        if policy.entitlement is not None:
            return f"its viewers need the entitlement {untrusted(policy.entitlement)}"
        if policy.name == "open" or (policy.name == "backend" and self._control.backend is not None):
            return None
        return f"its view policy is {policy.name}"

    async def _ask_backend(
        self, stream: StreamName, callback: Callback, seen: dict[str, Any]
    ) -> Response | None:
        """The answer to a player whom the backend does not let in; of one whom it does, it is told."""
        backend = self._control.backend
        if backend is None:
            return None
        verdict = await backend.decisions.ask("play", stream, callback, seconds=DECISION_SECONDS)
        if not verdict.allowed:
            record("play", verdict="refused", status=verdict.status, reason=verdict.reason, **seen)
            return detail(verdict.status, verdict.text)
        play = PlayOfClient(
            stream=stream,
            app=callback.app,
            client_ip=callback.addr,
            session=secrets.token_hex(16),
            since=time.time(),
        )
        try:
            await self._end_namesake(callback.client)
            await backend.plays.begin(callback.client, play)
            await backend.events.add(play_started(play, host=self._control.host))
        except StateUnavailableError as error:
            record("play", verdict="refused", status=503, reason=str(error), **seen)
            return detail(503, NOT_NOW)
        return None

    async def _end_namesake(self, client: str) -> None:
        """A restarted nginx numbers its connections anew: whoever had this number is gone."""
        backend = self._control.backend
        if backend is not None and (before := (await backend.plays.all()).get(client)) is not None:
            await backend.plays.end(client, play_ended(before, "lost", host=self._control.host))

    def _is_reader(self, callback: Callback) -> bool:
        given = callback.arguments.get("reader", "").encode("utf-8", "replace")
        good = [hmac.compare_digest(given, one.encode()) for one in self._control.secrets.reader_secrets()]
        return any(good) and callback.from_loopback

    async def _joined(self, stream: StreamName, client: str) -> None:
        await asyncio.sleep(_HEADSTART_SECONDS)
        self._control.readers.join(stream, client)

    async def _count(self, stream: StreamName) -> None:
        try:
            await self._control.counters.count(stream, "play")
        except StateUnavailableError as error:
            record("count", level=logging.WARNING, stream=stream, reason=str(error))
