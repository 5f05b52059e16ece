"""Answers: JSON, never cached, one sentence on what went wrong and nothing about how."""

from __future__ import annotations

from starlette.responses import JSONResponse

NO_STORE = {"Cache-Control": "no-store"}


def ok(content: object) -> JSONResponse:
    """200 with `content`."""
    return JSONResponse(content, headers=NO_STORE)


def detail(status: int, text: str) -> JSONResponse:
    """`status` with `{"detail": text}`; nginx-rtmp reads no more of it than the status's first digit."""
    return JSONResponse({"detail": text}, status_code=status, headers=NO_STORE)
