"""Operations on registered streams, and on who publishes them."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.control.api.models import Publisher, Stream, StreamPage, StreamSpec
from appliance.control.api.operations import Created, Operation
from appliance.control.api.paging import page_parameters, page_wanted
from appliance.control.api.problem import ProblemError
from appliance.control.view.policy import why_not_kept
from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name
from appliance.state.registry import RegisteredStream

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.lease import Lease

_DROP_SECONDS: Final = 2.0
"""The time in which a publisher that was asked to go is gone."""
_LOOK_SECONDS: Final = 0.05


def stream_of(request: Request) -> StreamName:
    """Returns the stream that the path names. Raises ProblemError 404 when it is no name of one."""
    try:
        return parse_stream_name(request.path_params["stream"])
    except InvalidStreamNameError as error:
        raise ProblemError(404, str(error)) from None


async def registered(control: Control, request: Request) -> RegisteredStream:
    """Returns the stream that the path names. Raises ProblemError 404 when it is not registered."""
    name = stream_of(request)
    stream = await control.registry.get(name)
    if stream is None:
        raise ProblemError(404, f"the stream {name} is not registered")
    return stream


class StreamOperations:
    """The operations, and what they do."""

    def __init__(self, control: Control) -> None:
        self._control = control

    def operations(self) -> list[Operation]:
        """All of them, as the API lists them."""
        missing = {404: "The stream is not registered."}
        return [
            Operation(
                id="listStreams", method="GET", path="/streams", scope="streams:read",
                summary="The registered streams", handler=self.page, answer=StreamPage,
                parameters=page_parameters("Streams"),
            ),
            Operation(
                id="getStream", method="GET", path="/streams/{stream}", scope="streams:read",
                summary="A stream, and who publishes it", handler=self.get, answer=Stream, problems=missing,
            ),
            Operation(
                id="putStream", method="PUT", path="/streams/{stream}", scope="streams:write",
                summary="Register a stream, or replace what is said of it; its keys stay",
                handler=self.put, body=StreamSpec, answer=Stream,
                problems={404: "It is no name of a stream.", 409: "This host cannot keep to who may watch."},
            ),
            Operation(
                id="deleteStream", method="DELETE", path="/streams/{stream}", scope="streams:write",
                summary="Forget a stream and its keys, and drop its publisher", handler=self.delete,
                status=204, problems=missing,
            ),
            Operation(
                id="dropPublisher", method="DELETE", path="/streams/{stream}/publisher",
                scope="publishers:drop", summary="End the connection that publishes a stream",
                handler=self.drop, status=204,
                problems={404: "Nobody publishes it.", 504: "It was asked for, and is still connected."},
            ),
        ]  # fmt: skip

    async def page(self, request: Request, _: Any) -> StreamPage:
        """Some of them."""
        after, limit = page_wanted(request)
        found = await self._control.registry.page(after=after, limit=limit)
        leases = {lease.stream: lease for lease in await self._control.leases.all()}
        items = [_shown(stream, leases.get(stream.name)) for stream in found]
        return StreamPage(items=items, next=found[-1].name if len(found) == limit else None)

    async def get(self, request: Request, _: Any) -> Stream:
        """One stream."""
        stream = await registered(self._control, request)
        return _shown(stream, await self._control.leases.get(stream.name))

    async def put(self, request: Request, body: StreamSpec) -> Created:
        """Registers it, or replaces what stands for it."""
        name = stream_of(request)
        if (why := why_not_kept(body.view, body.entitlement, self._control.settings)) is not None:
            raise ProblemError(409, why)
        known = await self._control.registry.get(name)
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        stream = RegisteredStream(
            name=name,
            created_at=known.created_at if known else now,
            allow=body.allow,
            deny=body.deny,
            limits=body.limits,
            view=body.view,
            entitlement=body.entitlement,
        )
        new = await self._control.registry.put(stream)
        return Created(new, _shown(stream, await self._control.leases.get(name)))

    async def delete(self, request: Request, _: Any) -> None:
        """Forgets it."""
        stream = await registered(self._control, request)
        await self._control.registry.remove(stream.name)
        lease = await self._control.leases.get(stream.name)
        if lease is not None:
            await self._control.dropper.ask(lease, "the stream was removed", ending="revoked")

    async def drop(self, request: Request, _: Any) -> None:
        """Drops the publisher, and waits until it is gone."""
        await drop_publisher(self._control, stream_of(request), "an operator asked for it")


async def drop_publisher(control: Control, name: StreamName, reason: str) -> None:
    """Drops who publishes `name`, on whatever host, and waits until it is gone.

    Raises ProblemError 404 and 504, StateUnavailableError.
    """
    lease = await control.leases.get(name)
    if lease is None:
        raise ProblemError(404, f"nobody publishes the stream {name}")
    await control.dropper.ask(lease, reason, ending="dropped")
    for _ in range(round(_DROP_SECONDS / _LOOK_SECONDS)):
        now = await control.leases.get(name)
        if now is None or now.session != lease.session:
            return
        await asyncio.sleep(_LOOK_SECONDS)
    raise ProblemError(504, f"{lease.host} was asked to drop it, and has not within {_DROP_SECONDS:g} s")


def _shown(stream: RegisteredStream, lease: Lease | None) -> Stream:
    publisher = None
    if lease is not None:
        publisher = Publisher(
            started_at=lease.started_at, client_ip=lease.client_ip, host=lease.host, key_id=lease.key_id
        )
    return Stream(**asdict(stream), publisher=publisher)
