"""The OpenAPI 3.1 document of `/api/v1`, made of its operations and the types they take and answer."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from appliance import __version__
from appliance.control.api.operations import PREFIX
from appliance.control.api.problem import MEDIA_TYPE
from appliance.names import STREAM_NAME_PATTERN

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.control.api.operations import Operation

_REF: Final = "#/components/schemas/{model}"
_SERVERS: Final = [
    {"url": "/", "description": "The host that this document is from; from other hosts over HTTPS only."}
]
_EVERYWHERE: Final = {
    400: "A query parameter is unknown, stands there twice, or is out of bounds.",
    401: "No valid bearer token was shown.",
    403: "The token lacks the scope, it came over plain HTTP, or the API is not for this address.",
    429: "Too many requests of this address.",
    500: "Something unexpected went wrong; the log of the service has it.",
    502: "The control service of this host does not answer at the moment.",
    503: "The shared state is not available at the moment.",
    504: "The control service of this host takes too long.",
}
_WITH_A_BODY: Final = {
    400: "A query parameter is unknown or stands there twice, or the body broke off.",
    408: "The body did not come in time.",
    413: "The body is too long.",
    415: "The body is not JSON.",
    422: "The body is not what this operation takes.",
}
_RETRY_AFTER: Final = {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}


class Problem(BaseModel):
    """Problem Details (RFC 9457); `errors` says where in the body, by JSON pointers."""

    type: str
    title: str
    status: int
    detail: str
    errors: list[dict[str, str]] | None = None


def document(operations: Sequence[Operation]) -> dict[str, Any]:
    """Returns the document, ready for JSON."""
    models = {model for each in operations for model in (each.body, each.answer) if model is not None}
    ordered = sorted(models | {Problem}, key=lambda model: model.__name__)
    _, definitions = models_json_schema([(model, "validation") for model in ordered], ref_template=_REF)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = PREFIX + re.sub(r":path\}", "}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Live-streaming appliance", "version": __version__},
        "servers": _SERVERS,
        "paths": paths,
        "components": {
            "schemas": definitions["$defs"],
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    described: dict[str, Any] = {
        "operationId": operation.id,
        "summary": operation.summary,
        "description": f"Needs the scope `{operation.scope}`.",
        "security": [{"bearer": [operation.scope]}],
        "responses": _responses(operation),
    }
    if parameters := [*_path_parameters(operation.path), *_parameters(operation)]:
        described["parameters"] = parameters
    if operation.body is not None:
        described["requestBody"] = {
            "required": True,
            "content": {"application/json": {"schema": _reference(operation.body)}},
        }
    return described


def _responses(operation: Operation) -> dict[str, Any]:
    answers: dict[str, Any] = {}
    succeeded = {operation.status}
    if operation.method in {"PUT", "POST"} and operation.answer is not None:
        succeeded |= {200, 201}  # 200 for what was there before
    for status in succeeded:
        answers[str(status)] = {"description": operation.summary}
        if operation.answer is not None:
            content = {"application/json": {"schema": _reference(operation.answer)}}
            answers[str(status)]["content"] = content
    problems = _EVERYWHERE | (_WITH_A_BODY if operation.body is not None else {}) | dict(operation.problems)
    for status, text in problems.items():
        content = {MEDIA_TYPE: {"schema": _reference(Problem)}}
        answers[str(status)] = {"description": text, "content": content}
        if status == 429:
            answers[str(status)]["headers"] = {"Retry-After": _RETRY_AFTER}
    return dict(sorted(answers.items()))


def _path_parameters(path: str) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "string", **({"pattern": STREAM_NAME_PATTERN} if name == "stream" else {})},
        }
        for name in re.findall(r"\{(\w+)", path)
    ]


def _parameters(operation: Operation) -> list[dict[str, Any]]:
    return [
        {"name": each.name, "in": each.where, "description": each.text, "schema": dict(each.schema)}
        for each in operation.parameters
    ]


def _reference(model: type[BaseModel]) -> dict[str, str]:
    return {"$ref": _REF.format(model=model.__name__)}
