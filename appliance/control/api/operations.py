"""What an operation of the API is, and how each is answered: who asks, what was sent, what went wrong."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

from pydantic import TypeAdapter, ValidationError
from starlette.requests import ClientDisconnect
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from appliance.control.api.bearer import authorise
from appliance.control.api.caller import address_of
from appliance.control.api.problem import ProblemError
from appliance.control.audit import record, untrusted
from appliance.control.responses import NO_STORE
from appliance.names import shorten
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence

    from starlette.requests import Request

    from appliance.control.context import Control
    from appliance.state.api_tokens import Scope

PREFIX: Final = "/api/v1"
_MAX_BODY: Final = 64 * 1024
_BODY_SECONDS: Final = 5.0
_MOST_DIGITS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A query parameter or header: its name, its JSON schema, and what it is for."""

    name: str
    schema: Mapping[str, object]
    text: str
    where: str = "query"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one path.

    scope: what a token must have; handler: takes the request and its body, read, and returns what is
    answered, or raises ProblemError; body, answer: their types, None for none; status: of success; problems:
    what else it answers, by status, beside what all do (`openapi`); parameters: all that there are, others
    are refused.
    """

    id: str
    method: str
    path: str
    scope: Scope
    summary: str
    handler: Callable[[Request, Any], Awaitable[Any]]
    body: Any = None
    answer: Any = None
    status: int = 200
    problems: Mapping[int, str] = field(default_factory=dict)
    parameters: Sequence[Parameter] = ()


def route(operation: Operation, control: Control) -> Route:
    """Returns where Starlette finds `operation`."""
    known = {each.name for each in operation.parameters if each.where == "query"}
    body = None if operation.body is None else TypeAdapter(operation.body)
    answer = None if operation.answer is None else TypeAdapter(operation.answer)

    async def endpoint(request: Request) -> Response:
        asked_by = "-"
        try:
            asked_by = await authorise(request, control, operation.scope)
            _check_query(request, known)
            given = None if body is None else parsed(await read_body(request), body)
            result = await operation.handler(request, given)
        except ProblemError as problem:
            _record(operation, request, asked_by, problem.status, problem.detail)
            return problem.response()
        except StateUnavailableError as error:
            _record(operation, request, asked_by, 503, str(error))
            return ProblemError(503, "The shared state is not available at the moment").response()
        status = operation.status
        if isinstance(result, Created):
            status, result = (201 if result.new else 200), result.content
        _record(operation, request, asked_by, status, None)
        if answer is None:
            return Response(status_code=status, headers=NO_STORE)
        return JSONResponse(answer.dump_python(result, mode="json"), status_code=status, headers=NO_STORE)

    return Route(PREFIX + operation.path, endpoint, methods=[operation.method], name=operation.id)


@dataclass(frozen=True, slots=True)
class Created:
    """An answer to PUT: 201 when it made something new, else 200."""

    new: bool
    content: object


def whole_number(request: Request, name: str, *, default: int, low: int, high: int) -> int:
    """The query parameter `name`, from `low` to `high`. Raises ProblemError 400."""
    given = request.query_params.get(name, str(default))
    # By its length first: Python reads no number of more than 4300 digits (sys.set_int_max_str_digits).
    short = given.isascii() and given.isdigit() and len(given) <= _MOST_DIGITS
    if not (short and low <= int(given) <= high):
        shown = given if len(given) <= _MOST_DIGITS else f"{given[:_MOST_DIGITS]}…"
        raise ProblemError(400, f"{name} is {shown!r}; allowed is a whole number from {low} to {high}")
    return int(given)


def _check_query(request: Request, known: Collection[str]) -> None:
    """Raises ProblemError 400 for a query parameter that is none of `known`, or stands there twice.

    One that is passed over would mean something else than whoever wrote it meant.
    """
    seen = set[str]()
    for name, _ in request.query_params.multi_items():
        if name not in known:
            allowed = ", ".join(sorted(known)) or "none"
            raise ProblemError(400, f"the query parameter {shorten(name)} is unknown; allowed: {allowed}")
        if name in seen:
            raise ProblemError(400, f"the query parameter {name} stands there twice")
        seen.add(name)


async def read_body(request: Request) -> bytes:
    """The body, which is JSON. Raises ProblemError 400, 408, 413 and 415."""
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json":
        raise ProblemError(415, f"the body is {media_type or 'of no type'}; allowed is application/json")
    data = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                data += chunk
                if len(data) > _MAX_BODY:
                    raise ProblemError(413, f"the body is longer than {_MAX_BODY} bytes")
    except TimeoutError:
        raise ProblemError(408, f"the body was not there within {_BODY_SECONDS:g} s") from None
    except ClientDisconnect:
        raise ProblemError(400, "the caller hung up before its body was complete") from None
    return bytes(data)


def parsed(data: bytes, adapter: TypeAdapter[Any]) -> Any:
    """What `adapter` reads in `data`. Raises ProblemError 422."""
    try:
        return adapter.validate_json(data)
    except ValidationError as error:
        errors = [
            {"pointer": pointer(each["loc"]), "detail": each["msg"]}
            for each in error.errors(include_url=False, include_input=False, include_context=False)
        ]
        raise ProblemError(422, "the body is not what this operation takes", errors=errors) from None


def pointer(steps: Iterable[object]) -> str:
    """A JSON pointer, as a URI's fragment has it (RFC 6901, section 6); "#" is the whole."""
    escaped = (str(step).replace("~", "~0").replace("/", "~1") for step in steps)
    return "#" + "".join(f"/{quote(step, safe='~', errors='replace')}" for step in escaped)


def _record(operation: Operation, request: Request, asked_by: str, status: int, reason: str | None) -> None:
    fields = {
        "operation": operation.id,
        "verdict": "allowed" if status < 400 else "refused",
        "status": status,
        "asked_by": asked_by,
        "client_ip": untrusted(address_of(request)),
        **{name: untrusted(str(value)) for name, value in request.path_params.items()},
    }
    if reason is not None:
        fields["reason"] = reason
    record("api", level=logging.INFO if status < 500 else logging.WARNING, **fields)
