"""Signatures of what the backend is sent: the platform's own header, and Standard Webhooks 1.0.0.

`X-NGINX-Signature` is the hex HMAC-SHA256 of the body under the first secret, its text as the key.
`webhook-signature` has `v1,` and the base64 HMAC-SHA256 of `id.timestamp.body` for each secret, separated by
spaces; the timestamp in it is what makes a recorded request useless after a few minutes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from appliance.secrets.webhook_secret import WebhookSecret

BODY_HEADER: Final = "X-NGINX-Signature"
ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

TOLERANCE_SECONDS: Final = 300
"""How far a timestamp may lie from the receiver's clock, before or after (Standard Webhooks, "Verifying")."""


class SignatureError(Exception):
    """A request is not signed with any of our secrets, or too old; the message says which, and no secret."""


def sign(secrets: Sequence[WebhookSecret], *, identity: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The headers that sign `body`.

    Parameters
    ----------
    secrets
        At least one; the first is the one of the header that has room for one.
    identity
        The same for every attempt at the same message, so that a receiver knows it again.
    timestamp
        Unix seconds of this attempt.
    """
    return {
        BODY_HEADER: hmac.new(secrets[0].text.encode(), body, hashlib.sha256).hexdigest(),
        ID_HEADER: identity,
        TIMESTAMP_HEADER: str(timestamp),
        SIGNATURE_HEADER: " ".join(_standard(secret, identity, str(timestamp), body) for secret in secrets),
    }


def verify(secrets: Sequence[WebhookSecret], headers: Mapping[str, str], body: bytes, *, now: float) -> str:
    """The identity of a request that one of `secrets` signed by Standard Webhooks; `now` is unix seconds.

    `headers` are by lower-case name. Raises SignatureError.
    """
    try:
        identity, written, given = headers[ID_HEADER], headers[TIMESTAMP_HEADER], headers[SIGNATURE_HEADER]
    except KeyError as error:
        raise SignatureError(f"the header {error.args[0]} is missing") from None
    if not (written.isascii() and written.isdigit() and len(written) <= 12):
        raise SignatureError(f"{TIMESTAMP_HEADER} is no number of seconds")
    if abs(now - int(written)) > TOLERANCE_SECONDS:
        raise SignatureError(f"{TIMESTAMP_HEADER} is more than {TOLERANCE_SECONDS} s from now")
    expected = [_standard(secret, identity, written, body).encode() for secret in secrets]
    # Every pair is compared, each in constant time: which one fits must not show in the time it takes.
    fits = [hmac.compare_digest(one.encode(), other) for one in given.split() for other in expected]
    if not any(fits):
        raise SignatureError(f"{SIGNATURE_HEADER} is of none of the secrets")
    return identity


def _standard(secret: WebhookSecret, identity: str, timestamp: str, body: bytes) -> str:
    signed = b".".join((identity.encode(), timestamp.encode(), body))
    digest = hmac.new(secret.standard_key, signed, hashlib.sha256).digest()
    return "v1," + base64.b64encode(digest).decode("ascii")
