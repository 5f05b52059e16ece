"""What requests to the customer's backend are signed with (WEBHOOK_SECRET).

The credential has one secret a line, the newest first. A replaced one stays as the second line, so that a
receiver that has not learned the new one yet still finds a signature that it can verify.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field
from typing import Final

_BYTES: Final = 32
_KEPT: Final = 2
_PREFIX: Final = "whsec_"
_FORM: Final = re.compile(r"[!-~]{16,256}")

ALLOWED: Final = (
    "16 to 256 visible ASCII characters without a space; after whsec_ only base64 of 16 bytes or more"
)


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """One secret: `text` as both sides were given it, `standard_key` as Standard Webhooks uses it.

    The specification writes a secret as `whsec_` and base64 of the key; any other text is its own key.
    """

    text: str = field(repr=False)
    standard_key: bytes = field(repr=False)


def parse_webhook_secret(text: str) -> WebhookSecret:
    """The secret that `text` is. Raises ValueError, whose message says what is allowed and shows nothing."""
    if _FORM.fullmatch(text) is None:
        raise ValueError(f"allowed: {ALLOWED}")
    if not text.startswith(_PREFIX):
        return WebhookSecret(text, text.encode("ascii"))
    try:
        key = base64.b64decode(text.removeprefix(_PREFIX), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < 16:
        raise ValueError(f"allowed: {ALLOWED}")
    return WebhookSecret(text, key)


def parse_webhook_secrets(text: str) -> tuple[WebhookSecret, ...]:
    """The secrets of a credential, the newest first.

    Raises ValueError when a line is no secret, or none is there.
    """
    lines = text.split()
    if not lines:
        raise ValueError("is empty")
    return tuple(parse_webhook_secret(line) for line in lines)


def new_webhook_secret() -> str:
    """A secret of 256 random bits, in the form that every Standard Webhooks library takes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")


def with_given(present: str, given: str) -> str | None:
    """The credential's new text when `given` becomes the newest secret; None when it is that already."""
    lines = present.split()
    if lines[:1] == [given]:
        return None
    kept = [given, *(line for line in lines if line != given)][:_KEPT]
    return "\n".join(kept) + "\n"
