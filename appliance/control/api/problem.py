"""What an API answers when something is wrong: Problem Details for HTTP APIs (RFC 9457)."""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING, Final

from starlette.responses import JSONResponse

from appliance.control.responses import NO_STORE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

MEDIA_TYPE: Final = "application/problem+json"


class ProblemError(Exception):
    """An operation that was not carried out.

    Parameters
    ----------
    status
        HTTP status.
    detail
        What was wrong with this request, in a sentence.
    errors
        Where in the body, as ``{"pointer": JSON pointer, "detail": …}``.
    headers
        Of the answer.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        errors: Sequence[Mapping[str, str]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = list(errors)
        self.headers = dict(headers or {})

    def response(self) -> JSONResponse:
        """The answer."""
        content: dict[str, object] = {
            "type": "about:blank",
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
        }
        if self.errors:
            content["errors"] = self.errors
        return JSONResponse(
            content, status_code=self.status, media_type=MEDIA_TYPE, headers={**NO_STORE, **self.headers}
        )
