"""Lists that are answered page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.control.api.operations import Parameter, whole_number

if TYPE_CHECKING:
    from starlette.requests import Request

_PAGE: Final = 100
_MOST: Final = 1000


def page_parameters(what: str) -> list[Parameter]:
    """The parameters of an operation that lists `what`."""
    return [
        Parameter(name="after", schema={"type": "string"}, text="Begin behind this one."),
        Parameter(
            name="limit",
            text=f"{what} on a page.",
            schema={"type": "integer", "minimum": 1, "maximum": _MOST, "default": _PAGE},
        ),
    ]


def page_wanted(request: Request) -> tuple[str, int]:
    """Where the page begins, "" for the first, and how much is on it. Raises ProblemError 400."""
    limit = whole_number(request, "limit", default=_PAGE, low=1, high=_MOST)
    return request.query_params.get("after", ""), limit
