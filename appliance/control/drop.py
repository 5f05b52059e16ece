"""Ending a publisher's connection (ngx_rtmp_control_module), wherever in the fleet it is.

Who wants a publisher gone tells all hosts through Valkey; the host whose lease it is does it. A message that
is lost is made up for where the reason lasts: the reconciler looks at keys and limits again and again.
"""

from __future__ import annotations

import asyncio
import json
import logging
from typing import TYPE_CHECKING, Final, get_args

import httpx

from appliance.control.audit import record
from appliance.names import APPLICATION, StreamName, is_stream_name
from appliance.state.event_kinds import Ending
from appliance.state.valkey import PREFIX, State, StateUnavailableError, translated

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.state.lease import Lease
    from appliance.state.leases import Leases

CHANNEL: Final = f"{PREFIX}drop"
_SECONDS: Final = 2.0
_AGAIN_SECONDS: Final = 1.0


class DropError(Exception):
    """The ingest nginx did not answer."""


class Dropper:
    """Asks for publishers to be dropped, and drops those of this host.

    Parameters
    ----------
    socket
        The unix socket of the ingest nginx's `rtmp_control`.
    """

    def __init__(self, state: State, socket: Path) -> None:
        self._state = state
        self._http = httpx.AsyncClient(
            transport=httpx.AsyncHTTPTransport(uds=str(socket)),
            base_url="http://ingest",
            timeout=_SECONDS,
            trust_env=False,
        )
        self._dropped: dict[StreamName, tuple[str, Ending]] = {}

    async def ask(self, lease: Lease, reason: str, *, ending: Ending) -> None:
        """Tells all hosts to drop the publisher that has `lease`. Raises StateUnavailableError.

        `reason`: for the log; `ending`: for the backend.
        """
        told = {"stream": lease.stream, "session": lease.session, "reason": reason, "ending": ending}
        message = json.dumps(told)
        with translated():
            await self._state.client.publish(CHANNEL, message)

    async def drop(self, lease: Lease, reason: str, *, ending: Ending) -> None:
        """Ends the connection that has `lease`, which is of this host. Raises DropError."""
        # nginx says that somebody left, not why, and may do so before it answers.
        self._dropped[lease.stream] = (lease.session, ending)
        try:
            connections = await self._drop(lease.stream)
        except DropError:
            self._dropped.pop(lease.stream, None)
            raise
        record("drop", stream=lease.stream, reason=reason, connections=connections)

    def ending_of(self, lease: Lease) -> Ending:
        """Why the publisher of `lease`, of whom nginx says that it left, did so. Asked once."""
        session, ending = self._dropped.pop(lease.stream, ("", "left"))
        return ending if session == lease.session else "left"

    async def _drop(self, stream: StreamName) -> str:
        try:
            answer = await self._http.get(
                "/control/drop/publisher", params={"app": APPLICATION, "name": stream}
            )
        except httpx.HTTPError as error:
            raise DropError(f"ingest: {str(error) or type(error).__name__}") from error
        if answer.status_code != httpx.codes.OK:
            raise DropError(f"ingest: status {answer.status_code}")
        return answer.text.strip()

    async def listen(self, leases: Leases, host: str) -> None:
        """Drops for ever what somebody asks for and `host` holds the lease of."""
        while True:
            try:
                await self._hear(leases, host)
            except StateUnavailableError as error:
                # The reconciler tells of a Valkey that is away; here it is waited for.
                record("drop", level=logging.DEBUG, reason=str(error))
                await asyncio.sleep(_AGAIN_SECONDS)

    async def close(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def _hear(self, leases: Leases, host: str) -> None:
        with translated():
            async with self._state.client.pubsub(ignore_subscribe_messages=True) as channel:
                await channel.subscribe(CHANNEL)
                while True:
                    message = await channel.get_message(timeout=_SECONDS)
                    if message is not None:
                        await self._obey(str(message["data"]), leases, host)

    async def _obey(self, text: str, leases: Leases, host: str) -> None:
        try:
            asked = json.loads(text)
            stream, session, reason = (str(asked[name]) for name in ("stream", "session", "reason"))
            ending: Ending = asked.get("ending", "dropped")
        except (ValueError, KeyError, TypeError, AttributeError):
            return  # somebody else's
        if not is_stream_name(stream):
            return
        lease = await leases.get(StreamName(stream))
        if lease is None or (lease.host, lease.session) != (host, session):
            return
        try:
            await self.drop(lease, reason, ending=ending if ending in get_args(Ending) else "dropped")
        except DropError as error:
            record("drop", level=logging.WARNING, stream=stream, reason=str(error))
