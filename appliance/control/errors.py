"""What a caller hears when something fails: one sentence. What happened stands in the log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException

from appliance.control.api.problem import ProblemError
from appliance.control.responses import detail
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request
    from starlette.responses import Response


async def _http(request: Request, error: Exception) -> Response:
    refused = error if isinstance(error, HTTPException) else HTTPException(500)
    if request.url.path.startswith("/api/"):  # also where no operation stands behind the address
        return ProblemError(refused.status_code, refused.detail, headers=refused.headers).response()
    answer = detail(refused.status_code, refused.detail)
    answer.headers.update(refused.headers or {})
    return answer


async def _state(_: Request, __: Exception) -> Response:
    return detail(503, "The shared state is not available at the moment")


async def _unexpected(_: Request, __: Exception) -> Response:
    # Starlette raises the exception again after this answer, and uvicorn logs it (see audit.py).
    return detail(500, "Internal error")


HANDLERS: Mapping[Any, Any] = {
    HTTPException: _http,
    StateUnavailableError: _state,
    Exception: _unexpected,
}
