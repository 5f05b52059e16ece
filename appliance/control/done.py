"""`POST /auth/publish_done` and `/auth/play_done`: somebody left.

nginx sends these once and forgets them; what gets lost here the reconciler finds in /stat.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from starlette.responses import Response

from appliance.control.audit import record, untrusted
from appliance.control.callback import Callback, read_or_refuse
from appliance.control.responses import ok
from appliance.names import is_stream_name, parse_stream_name
from appliance.state.event_kinds import play_ended, publish_ended
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.lease import Lease


class Done:
    """The endpoints for those who leave; they always answer `recorded` to what is a callback at all."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def publish_done(self, request: Request) -> Response:
        """Gives the lease back, if it is this connection's. The unit waits for a return by itself."""
        callback = await read_or_refuse(request, "publish_done")
        if isinstance(callback, Response):
            return callback
        released = await self._release(callback)
        record(
            "publish_done",
            stream=untrusted(callback.name),
            client_ip=untrusted(callback.addr),
            released=released is not None,
            publication=None if released is None else released.session,
        )
        return ok({"status": "recorded"})

    async def play_done(self, request: Request) -> Response:
        """Notes that a reader is gone."""
        callback = await read_or_refuse(request, "play_done")
        if isinstance(callback, Response):
            return callback
        if is_stream_name(callback.name):
            self._control.readers.leave(parse_stream_name(callback.name), callback.client)
        await self._tell_backend(callback)
        record("play_done", stream=untrusted(callback.name), client_ip=untrusted(callback.addr))
        return ok({"status": "recorded"})

    async def _tell_backend(self, callback: Callback) -> None:
        backend = self._control.backend
        if backend is None:
            return
        try:
            play = (await backend.plays.all()).get(callback.client)
            if play is not None:  # else it is a reader of ours, or was refused
                await backend.plays.end(callback.client, play_ended(play, "left", host=self._control.host))
        except StateUnavailableError as error:
            # The comparison with /stat will find that nobody is there.
            reason = str(error)
            record("play_done", level=logging.WARNING, stream=untrusted(callback.name), reason=reason)

    async def _release(self, callback: Callback) -> Lease | None:
        """The lease that was given back; None when it was not this connection's."""
        if not is_stream_name(callback.name):
            return None
        stream = parse_stream_name(callback.name)
        leases = self._control.leases
        try:
            # What this process took itself is known without a question.
            lease = leases.taken.get(stream, client=callback.client) or await leases.get(stream)
            # A refused second publisher has a "done" of its own, which must not end the first one's stream.
            if lease is None or (lease.host, lease.client) != (self._control.host, callback.client):
                return None
            told = (
                publish_ended(lease, self._control.dropper.ending_of(lease))
                if self._control.backend
                else None
            )
            return lease if await leases.release(lease, told=told) else None
        except StateUnavailableError as error:
            record("release", level=logging.WARNING, stream=stream, reason=str(error))
            return None
