"""What operators do with a stream: what the API does, with their name in the audit log."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from appliance.control.api.keys import KeyOperations
from appliance.control.api.problem import ProblemError
from appliance.control.api.streams import drop_publisher, stream_of
from appliance.control.responses import NO_STORE
from appliance.control.units import UnitsUnavailableError
from appliance.media.encode.thumbnails import THUMBNAIL
from appliance.media.plain_file import read_plain

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.operator_sessions import Session

_LARGEST_PICTURE: Final = 1024 * 1024


class Actions:
    """The handlers below `/dashboard/streams/{stream}`."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._keys = KeyOperations(control)

    async def drop(self, request: Request, session: Session) -> None:
        """Ends the connection that publishes the stream; its encoder may come back."""
        await drop_publisher(
            self._control, stream_of(request), f"the operator {session.operator} asked for it"
        )

    async def rotate(self, request: Request, _: Session) -> None:
        """Has the stream use another content key from the next segment on.

        Raises ProblemError 404 and 503, and 409 for a stream of another host.
        """
        stream = stream_of(request)
        lease = await self._control.leases.get(stream)
        if lease is None:
            raise ProblemError(404, f"nobody publishes the stream {stream}")
        if lease.host != self._control.host:
            raise ProblemError(
                409, f"{stream} is published on {lease.host}; there it is: appliance keys rotate {stream}"
            )
        try:
            await self._control.units.rotate_key(stream)
        except UnitsUnavailableError as error:
            raise ProblemError(503, f"systemd did not start it: {error}") from None

    async def keys(self, request: Request, _: Session) -> Any:
        """The keys of a registered stream, without their secrets. Raises ProblemError 404."""
        return (await self._keys.all(request, None)).model_dump()

    async def revoke(self, request: Request, _: Session) -> None:
        """Ends a stream key, and drops who publishes with it. Raises ProblemError 404."""
        await self._keys.revoke(request, None)

    async def thumbnail(self, request: Request, _: Session) -> Response:
        """The stream's newest picture. Raises ProblemError 404 when this host has none."""
        path = Path(self._control.settings.media_root) / stream_of(request) / THUMBNAIL
        picture = await asyncio.to_thread(read_plain, path, largest=_LARGEST_PICTURE)
        if picture is None:
            raise ProblemError(404, "there is no picture of it on this host")
        return Response(picture, media_type="image/jpeg", headers=NO_STORE)
