"""Lists that are answered page by page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.control.api.operations import Parameter
from appliance.control.api.problem import ProblemError

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
    given = request.query_params.get("limit", str(_PAGE))
    if not (given.isascii() and given.isdigit() and 1 <= int(given) <= _MOST):
        raise ProblemError(400, f"limit is {given!r}; allowed is a whole number from 1 to {_MOST}")
    return request.query_params.get("after", ""), int(given)
