"""As much of HTTP/1.1 as a proxy on the same host needs: GET, keep-alive, answers with a length (RFC 9112).

Written by hand because the stream's process has no use for more: a web framework would take 15 MB of it.
"""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass
from typing import Final

MAX_HEAD_BYTES: Final = 16 * 1024
"""Longest request line with its header fields."""

_REQUEST_LINE: Final = re.compile(rb"([A-Z]{1,16}) (/[!-~]*) HTTP/1\.([01])")
_REASONS: Final = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    405: "Method Not Allowed",
    503: "Service Unavailable",
}


class BadRequestError(Exception):
    """What came is no request that can be answered; the connection is of no more use."""


@dataclass(frozen=True, slots=True)
class Request:
    """`target` is the path with its query, as it came. `keep_alive` tells whether another may follow."""

    method: str
    target: str
    keep_alive: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """`content_type` is of `body`; an answer without a body has none."""

    status: int
    body: bytes = b""
    content_type: str = ""
    cache_control: str = "no-store"


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request; None when the other side has closed.

    Raises BadRequestError for what is none, or has a body. The reader's limit bounds its head.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError as error:
        if not error.partial:
            return None
        raise BadRequestError("cut short") from None
    except asyncio.LimitOverrunError:
        raise BadRequestError("too long") from None
    line, *fields = head[:-4].split(b"\r\n")
    match = _REQUEST_LINE.fullmatch(line)
    if match is None:
        raise BadRequestError("no request line")
    keep_alive = match[3] == b"1"
    for field in fields:
        name, _, value = field.partition(b":")
        name, value = name.strip().lower(), value.strip().lower()
        if name == b"connection":
            keep_alive = (keep_alive or value == b"keep-alive") and value != b"close"
        elif name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            raise BadRequestError("a body")
    return Request(match[1].decode(), match[2].decode(), keep_alive)


def render(answer: Answer, *, keep_alive: bool) -> bytes:
    """The bytes of `answer`."""
    lines = [
        f"HTTP/1.1 {answer.status} {_REASONS[answer.status]}",
        f"Content-Length: {len(answer.body)}",
        f"Cache-Control: {answer.cache_control}",
        f"Connection: {'keep-alive' if keep_alive else 'close'}",
    ]
    if answer.content_type:
        lines.append(f"Content-Type: {answer.content_type}")
    return "\r\n".join([*lines, "", ""]).encode() + answer.body
