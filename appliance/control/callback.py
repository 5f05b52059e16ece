"""nginx-rtmp's callbacks, read so that the decision concerns the name that nginx will publish.

The module sends its own fields first, escaped, and appends the `?arguments` of the encoder's URL last and
unescaped (`ngx_rtmp_notify_module.c`, 1.2.2). So `live/B?name=A` arrives as `name=B&…&name=A`: a reader
that takes the last value decides about A while B goes on air. Here the first value counts, and a request
that repeats a field of the module is refused.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect
from starlette.responses import Response

from appliance.control.audit import record, untrusted
from appliance.control.responses import detail

if TYPE_CHECKING:
    from collections.abc import Mapping

    from starlette.requests import Request

MODULE_FIELDS: Final = frozenset(
    (
        *("app", "flashver", "swfurl", "tcurl", "pageurl", "addr", "clientid"),
        *("call", "name", "type", "path", "recorder"),
        *("start", "duration", "reset", "time", "timestamp"),
    )
)
"""What the module itself writes into a callback; no argument of an encoder may carry such a name."""

MAX_BODY: Final = 16 * 1024
"""Bytes. nginx-rtmp's own limits (name and arguments 256 each, URLs 512) stay far below."""

_MAX_FIELDS: Final = 100
_BODY_SECONDS: Final = 5.0
_LOOKED_AT: Final = 8192
_MODULE_FIRST: Final = 20
"""Of a body that is no callback: bytes and fields, among which the module's own are."""


class MalformedCallbackError(Exception):
    """The body is not what nginx-rtmp sends, or an encoder tried to overwrite a field of it."""


@dataclass(frozen=True, slots=True)
class Callback:
    """One callback. `addr`: the peer's address as nginx saw it; `client`: the connection's number."""

    app: str
    name: str
    addr: str
    client: str
    arguments: Mapping[str, str]

    @property
    def from_loopback(self) -> bool:
        """Whether the peer connected from this host."""
        return is_loopback(self.addr)


def is_loopback(address: str) -> bool:
    """Whether `address`, as nginx writes a peer's, is of this host."""
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return address.startswith("unix:")


def parse_callback(body: bytes) -> Callback:
    """Reads the form `body`.

    Raises MalformedCallbackError when a field of the module stands in it twice (also percent-encoded), or
    when it is no form at all.
    """
    try:
        pairs = parse_qsl(body.decode("latin-1"), keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        raise MalformedCallbackError("too many fields") from None
    first: dict[str, str] = {}
    for name, value in pairs:
        if name in first:
            if name in MODULE_FIELDS:
                raise MalformedCallbackError(f"the field {name} stands in the request twice")
            continue
        first[name] = value
    arguments = {name: value for name, value in first.items() if name not in MODULE_FIELDS}
    return Callback(
        app=first.get("app", ""),
        name=first.get("name", ""),
        addr=first.get("addr", ""),
        client=first.get("clientid", ""),
        arguments=arguments,
    )


async def read_or_refuse(request: Request, event: str) -> Callback | Response:
    """The callback in `request`, or the answer 400 to what is none, which is logged as a refused `event`."""
    body = bytearray()
    try:
        await _read(request, body)
        return parse_callback(bytes(body))
    except MalformedCallbackError as error:
        level, reason = logging.WARNING, str(error)
    except ClientDisconnect:
        # Nobody hears the answer, and nothing has been decided yet.
        level, reason = logging.INFO, "the caller hung up before its body was complete"
    peer = "" if request.client is None else request.client.host
    record(event, level=level, verdict="refused", status=400, reason=reason, **about(bytes(body), peer))
    return detail(400, "Malformed request")


def about(body: bytes, peer: str) -> dict[str, str]:
    """What the log may say of a `body` that is no callback: `client_ip` and, where it can be told, `stream`.

    By its first fields, which are the module's own; the last one may be cut. `peer`: who sent it.
    """
    fields = body[:_LOOKED_AT].split(b"&", _MODULE_FIRST)[:-1]
    first: dict[str, str] = {}
    for name, value in parse_qsl(b"&".join(fields).decode("latin-1")):
        first.setdefault(name, value)
    stream = {"stream": untrusted(first["name"])} if "name" in first else {}
    return {"client_ip": untrusted(first.get("addr", peer)), **stream}


async def _read(request: Request, body: bytearray) -> None:
    """Reads the body of `request` into `body`, at most MAX_BODY bytes and a little within five seconds.

    Raises MalformedCallbackError, and ClientDisconnect when the caller hangs up before the end.
    """
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MAX_BODY:
                    raise MalformedCallbackError(f"the body is longer than {MAX_BODY} bytes")
    except TimeoutError:
        raise MalformedCallbackError("the body did not arrive in time") from None
