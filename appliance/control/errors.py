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
    return _answer(request, refused.status_code, refused.detail, refused.headers or {})


async def _state(request: Request, _: Exception) -> Response:
    return _answer(request, 503, "The shared state is not available at the moment")


async def _unexpected(request: Request, _: Exception) -> Response:
    # Starlette raises the exception again after this answer, and uvicorn logs it (see audit.py).
    return _answer(request, 500, "Internal error")


def _answer(request: Request, status: int, text: str, headers: Mapping[str, str] | None = None) -> Response:
    if request.url.path.startswith("/api/"):  # also where no operation stands behind the address
        return ProblemError(status, text, headers=headers).response()
    answer = detail(status, text)
    answer.headers.update(headers or {})
    return answer


HANDLERS: Mapping[Any, Any] = {
    HTTPException: _http,
    StateUnavailableError: _state,
    Exception: _unexpected,
}
