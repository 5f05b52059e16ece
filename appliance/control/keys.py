"""`GET /keys/{stream}/{kid}`: the sixteen bytes that open a stream's segments (RFC 8216, 4.3.2.4).

Keys are derived, not stored: any host with the keyring answers for any stream, with Valkey down too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import Response

from appliance.control.responses import NO_STORE, detail
from appliance.names import InvalidStreamNameError, parse_stream_name
from appliance.secrets.content_keys import UnknownKeyError

if TYPE_CHECKING:
    from starlette.requests import Request

    from appliance.control.context import Control


class Keys:
    """The endpoint for content keys."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def endpoint(self, request: Request) -> Response:
        """200 with the key; 404 for a malformed name or key id and for a generation we do not have."""
        try:
            stream = parse_stream_name(request.path_params["stream"])
            key = self._control.keyring.derive(request.path_params["kid"], stream)
        except (InvalidStreamNameError, UnknownKeyError):
            return detail(404, "No such key")
        return Response(key, media_type="application/octet-stream", headers=NO_STORE)
