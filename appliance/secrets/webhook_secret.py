"""What requests to the customer's backend are signed with (WEBHOOK_SECRET).

The credential has one secret a line, the newest first (`appliance.secrets.dated_secrets`). A replaced one
stays for its grace, so that a receiver that has not learned the new one yet still finds a signature that it
can verify.
"""

from __future__ import annotations

import base64
import binascii
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.secrets.dated_secrets import DatedSecret, DatedSecrets

if TYPE_CHECKING:
    from datetime import timedelta

_BYTES: Final = 32
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


def parse_webhook_secrets(text: str) -> DatedSecrets:
    """The secrets of a credential. Raises ValueError when a line is no secret, or none is there."""
    for line in filter(str.strip, text.splitlines()):
        parse_webhook_secret(line.split()[0])
    return DatedSecrets.parse(text)


def signing(secrets: DatedSecrets, now: datetime) -> tuple[WebhookSecret, ...]:
    """What a request is signed with at `now`; the first also signs the header that has room for one.

    That is the newest where the operator chose it, and the one before it where the host drew a new one:
    nobody can have told the receiver of that yet.
    """
    texts = secrets.texts(now)
    return tuple(map(parse_webhook_secret, texts if secrets.given else texts[::-1]))


def new_webhook_secret() -> str:
    """A secret of 256 random bits, in the form that every Standard Webhooks library takes."""
    return _PREFIX + base64.b64encode(secrets.token_bytes(_BYTES)).decode("ascii")


def with_given(present: DatedSecrets | None, given: str, grace: timedelta) -> DatedSecrets | None:
    """The secrets when the operator chose `given`, the one before good for `grace` more; None: no change.

    An empty `given` says that the operator chooses none (any more): what there is stays, and may be rotated.
    """
    if not given:
        if present is None or not present.newest.given:
            return None
        return DatedSecrets((replace(present.newest, given=False), *present.entries[1:]))
    if present is None:
        return DatedSecrets((DatedSecret(given, datetime.now(UTC), given=True),))
    if present.newest.text == given:
        if present.newest.given:
            return None
        return DatedSecrets((replace(present.newest, given=True), *present.entries[1:]))
    return present.rotated(given, grace, given=True)
