"""Is this request from the streaming host? Copy this file into your backend: it needs nothing but Python.

    verify(headers, body, secrets)

`secrets` are texts as WEBHOOK_SECRET has them; give the new and the old one while you change it. `headers`
may be any mapping with `.get` that does not mind upper and lower case (FastAPI's and Flask's do not), or a
dict with lower-case names. `body` is the body as it came, before anything parsed it.

The scheme is Standard Webhooks 1.0.0 (https://www.standardwebhooks.com), so its libraries verify as well.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

TOLERANCE_SECONDS = 300


class Headers(Protocol):
    """Of any framework."""

    def get(self, name: str, default: str, /) -> str: ...


class NotFromTheStreamingHostError(Exception):
    """Answer 401 and do nothing else."""


def verify(headers: Headers, body: bytes, secrets: Iterable[str], *, now: float | None = None) -> str:
    """Return the message's id, the same each time a message is sent again: act on it once.

    Raises NotFromTheStreamingHostError.
    """
    identity = headers.get("webhook-id", "")
    timestamp = headers.get("webhook-timestamp", "")
    if not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
        raise NotFromTheStreamingHostError("no webhook-timestamp")
    if abs((time.time() if now is None else now) - int(timestamp)) > TOLERANCE_SECONDS:
        raise NotFromTheStreamingHostError("too old, or one of the two clocks is wrong")
    signed = b".".join((identity.encode(), timestamp.encode(), body))
    expected = [b"v1," + base64.b64encode(_hmac(_key(secret), signed)) for secret in secrets]
    given = headers.get("webhook-signature", "").encode().split()
    # In constant time: how long a comparison takes tells nothing of what would fit.
    if not any(hmac.compare_digest(one, other) for one in given for other in expected):
        raise NotFromTheStreamingHostError("not signed with our secret")
    return identity


def verify_body(signature: str, body: bytes, secret: str) -> bool:
    """Whether `signature`, the header X-NGINX-Signature, is that of `body`.

    It is the simpler header, and has no time in it: who recorded a request can send it again for ever.
    """
    return hmac.compare_digest(signature.encode(), _hmac(secret.encode(), body).hex().encode())


def _key(secret: str) -> bytes:
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"))
    return secret.encode()


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.new(key, message, hashlib.sha256).digest()
