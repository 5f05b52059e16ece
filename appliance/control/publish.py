"""`POST /auth/publish`: may this connection publish this stream?

key and networks (`gate`) → room to encode it (`admission`) → lease (one publisher on all hosts) → the backend
→ the stream's unit → its reader → what the backend is told.
nginx-rtmp reads the answer's first digit only: 2 lets the encoder in, anything else refuses it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from starlette.background import BackgroundTask
from starlette.responses import Response

from appliance.control.admission import FullError
from appliance.control.audit import record, untrusted
from appliance.control.callback import Callback, read_or_refuse
from appliance.control.drop import DropError
from appliance.control.gate import Gate
from appliance.control.lost import DECISION_SECONDS, is_lost
from appliance.control.refusal import RefusedError
from appliance.control.responses import detail, ok
from appliance.control.stat import StatUnavailableError
from appliance.control.units import UnitsUnavailableError
from appliance.state.event_kinds import publish_ended, publish_refused, publish_started
from appliance.state.lease import Lease
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.names import StreamName

SILENCE_SECONDS: Final = 1.5
"""An encoder that sends no media for so long is silent: one of pictures alone sends some each second."""

REFUSAL_SECONDS: Final = 60.0
"""How long the backend hears nothing more of a stream that there was no room for."""

_UNIT_SECONDS: Final = 2.0
"""What is left of the time for a decision when the backend has had its share."""


class Publish:
    """The endpoint and the flow behind it."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._gate = Gate(control)
        self._refusals: dict[StreamName, float] = {}

    async def endpoint(self, request: Request) -> Response:
        """200 allowed; 400 not a callback; 403 invalid key; 409 already active; 503 cannot decide now.

        A refusal of the backend has its status, see `appliance.control.backend.decisions`.
        """
        callback = await read_or_refuse(request, "publish")
        if isinstance(callback, Response):
            return callback
        seen: dict[str, Any] = {"stream": untrusted(callback.name), "client_ip": untrusted(callback.addr)}
        try:
            lease = await self.admit(callback)
        except RefusedError as refused:
            record("publish", verdict="refused", status=refused.status, reason=refused.reason, **seen)
            return detail(refused.status, refused.text)
        reader = self._control.readers.present(lease.stream)
        if (placement := self._control.admission.placement(lease.stream)) is not None:
            seen["encoder"] = "x264" if placement.gpu is None else placement.device
        record("publish", verdict="allowed", status=200, publication=lease.session, reader=reader, **seen)
        answer = ok({"status": "allowed", "stream_key": lease.stream})
        answer.background = BackgroundTask(self._count, lease.stream)
        return answer

    async def admit(self, callback: Callback) -> Lease:
        """Decides about `callback` and, when the answer is yes, has the stream running.

        Raises RefusedError.
        """
        deadline = asyncio.get_running_loop().time() + DECISION_SECONDS
        try:
            stream, key_id = await self._gate.pass_through(callback)
            try:
                async with self._control.admission.reserved(stream):
                    return await self._let_in(stream, callback, key_id, deadline)
            except FullError as error:
                await self._tell_refused(stream, callback, error.reason)
                raise
        except StateUnavailableError as error:
            raise RefusedError(503, "Publishing is not possible at the moment", str(error)) from None

    async def _let_in(self, stream: StreamName, callback: Callback, key_id: str, deadline: float) -> Lease:
        """From the lease on. Raises RefusedError, and StateUnavailableError when there is no lease yet."""
        clock = asyncio.get_running_loop().time
        lease = await self._take_lease(stream, callback, key_id)
        try:
            await self._ask_backend(stream, callback, seconds=deadline - clock() - _UNIT_SECONDS)
            # A busy machine's systemd is worth waiting for; an encoder that is refused may not ask again.
            await self._control.units.start(stream, seconds=max(0.0, deadline - clock()))
            wait = min(self._control.settings.reader_wait_seconds, deadline - clock())
            await self._control.readers.wait(stream, max(0.0, wait))
            await self._tell_backend(lease)
        except (UnitsUnavailableError, StateUnavailableError) as error:
            await self._give_back(lease)
            raise RefusedError(503, "Publishing is not possible at the moment", str(error)) from None
        except RefusedError:
            await self._give_back(lease)
            raise
        return lease

    async def _count(self, stream: StreamName) -> None:
        try:
            await self._control.counters.count(stream, "publish")
        except StateUnavailableError as error:
            # A counter is not worth a stream.
            record("count", level=logging.WARNING, stream=stream, reason=str(error))

    async def _take_lease(self, stream: StreamName, callback: Callback, key_id: str) -> Lease:
        lease = Lease.new(
            stream,
            host=self._control.host,
            client=callback.client,
            app=callback.app,
            client_ip=callback.addr,
            key_id=key_id,
        )
        holder = await self._control.leases.acquire(lease)
        if holder is not None and (await self._is_lost(holder) or await self._gave_way(holder, lease)):
            record("takeover", stream=stream, held_since=holder.started_at, was=untrusted(holder.client_ip))
            told = publish_ended(holder, "lost") if self._control.backend else None
            holder = await self._control.leases.acquire(lease, replacing=holder, told=told)
        if holder is not None:
            raise RefusedError(409, "Stream already active", f"published on {holder.host}")
        return lease

    async def _ask_backend(self, stream: StreamName, callback: Callback, *, seconds: float) -> None:
        """Raises RefusedError when there is a backend and it does not allow it."""
        if self._control.backend is None:
            return
        verdict = await self._control.backend.decisions.ask("publish", stream, callback, seconds=seconds)
        if not verdict.allowed:
            raise RefusedError(verdict.status, verdict.text, verdict.reason)
        if verdict.source != "backend":
            record("publish", level=logging.WARNING, stream=stream, reason=verdict.reason)

    async def _tell_backend(self, lease: Lease) -> None:
        """Raises StateUnavailableError: who goes on air untold would not be accounted for.

        And RefusedError when Valkey has lost the lease meanwhile.
        """
        if self._control.backend is None:
            return
        if not await self._control.leases.publishes.tell(lease, publish_started(lease)):
            raise RefusedError(503, "Publishing is not possible at the moment", "its lease is lost")

    async def _tell_refused(self, stream: StreamName, callback: Callback, reason: str) -> None:
        """Once a minute at most: an encoder that is refused comes back every few seconds."""
        now = asyncio.get_running_loop().time()
        self._refusals = {name: at for name, at in self._refusals.items() if now - at < REFUSAL_SECONDS}
        if self._control.backend is None or stream in self._refusals:
            return
        self._refusals[stream] = now
        event = publish_refused(
            stream, app=callback.app, client_ip=callback.addr, host=self._control.host, reason=reason
        )
        await self._control.backend.events.add(event)

    async def _is_lost(self, holder: Lease) -> bool:
        """Whether the publisher behind `holder` is gone without anybody having told us."""
        try:
            status = await self._control.ingest.status()
        except StatUnavailableError as error:
            record("takeover", level=logging.WARNING, stream=holder.stream, reason=str(error))
            return False
        return is_lost(holder, status, host=self._control.host)

    async def _gave_way(self, holder: Lease, lease: Lease) -> bool:
        """Whether `holder`, let in by the same key, was silent and is now disconnected.

        So it is after a line was cut: the encoder comes back before nginx notices that its old connection is
        dead. Without keys anybody could do that to anybody.
        """
        if not lease.key_id or (holder.key_id, holder.host) != (lease.key_id, lease.host):
            return False
        try:
            before = (await self._control.ingest.status()).publishers.get(holder.stream)
            await asyncio.sleep(SILENCE_SECONDS)
            after = (await self._control.ingest.status()).publishers.get(holder.stream)
            if before is None or before.client != holder.client or before != after:
                return False
            why = "silent, and its encoder came back with its key"
            await self._control.dropper.drop(holder, why, ending="lost")
        except (StatUnavailableError, DropError) as error:
            record("takeover", level=logging.WARNING, stream=holder.stream, reason=str(error))
            return False
        return True

    async def _give_back(self, lease: Lease) -> None:
        try:
            # Valkey may have told the beginning, though nobody waited for it: then an end belongs to it.
            await self._control.leases.release(lease, told=publish_ended(lease, "lost"))
        except StateUnavailableError as error:
            record("release", level=logging.WARNING, stream=lease.stream, reason=str(error))
