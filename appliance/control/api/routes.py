"""All operations of the API, and the document that describes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from appliance.control.api.bans import BanOperations
from appliance.control.api.keys import KeyOperations
from appliance.control.api.openapi import document
from appliance.control.api.operations import PREFIX, route
from appliance.control.api.streams import StreamOperations
from appliance.control.api.tokens import TokenOperations
from appliance.control.api.view_tokens import ViewTokenOperations
from appliance.control.api.viewers import ViewerOperations

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.control.context import Control


def api_routes(control: Control) -> list[Route]:
    """Returns what `/api/v1` answers."""
    groups = (
        StreamOperations,
        KeyOperations,
        ViewerOperations,
        ViewTokenOperations,
        BanOperations,
        TokenOperations,
    )
    operations = [operation for group in groups for operation in group(control).operations()]
    described = document(operations)

    async def openapi(_: Request) -> Response:
        return JSONResponse(described)

    return [
        Route(f"{PREFIX}/openapi.json", openapi, methods=["GET"]),
        *(route(operation, control) for operation in operations),
    ]
