"""The credentials that may be replaced while services run: how each is read and replaced.

The new one is known to everybody who verifies before anybody uses it, and the old one is good for its grace;
`appliance.ops.rotation` has the order. Master keys have a way of their own (`appliance.ops.master_key`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    READER_SECRET,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
    drawn,
    read_credential,
)
from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.refused import malformed
from appliance.secrets.token_keys import TokenKeys
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import timedelta
    from pathlib import Path

Rotating = TokenKeys | DatedSecrets

_READER_FORM: Final = re.compile(r"[A-Za-z0-9_-]+")


def is_reader_secret(text: str) -> bool:
    """Whether `text` survives in an RTMP play name; `&` or `=` would make other arguments of it."""
    return _READER_FORM.fullmatch(text) is not None


def _reader_secrets(text: str) -> DatedSecrets:
    found = DatedSecrets.parse(text)
    if not all(is_reader_secret(item.text) for item in found.entries):
        raise ValueError("allowed are letters, digits, - and _")
    return found


@dataclass(frozen=True, slots=True)
class Kind:
    """One of these credentials.

    `shared`: the same on all hosts; the others are between the parts of one host. `parse` raises ValueError.
    """

    parse: Callable[[str], Rotating]
    shared: bool


ROTATING: Final = {
    VIEW_TOKEN_KEYS: Kind(TokenKeys.parse, shared=True),
    WEBHOOK_SECRET: Kind(parse_webhook_secrets, shared=True),
    READER_SECRET: Kind(_reader_secrets, shared=False),
    ADMIN_TOKEN: Kind(DatedSecrets.parse, shared=False),
    VALKEY_PASSWORD: Kind(DatedSecrets.parse, shared=False),
}


def replaced(name: str, present: Rotating, grace: timedelta) -> Rotating:
    """A fresh secret in front of `present`, which is good for `grace` more."""
    if isinstance(present, TokenKeys):
        return present.rotated(grace)
    fresh = new_webhook_secret() if name == WEBHOOK_SECRET else drawn()
    return present.rotated(fresh, grace)


def read_rotating(directory: Path, name: str) -> Rotating:
    """What the credential `name` (one of ROTATING) holds.

    Raises OperatorError (EX_CONFIG) when it is missing, empty or malformed.
    """
    path = directory / name
    try:
        return ROTATING[name].parse(read_credential(path))
    except ValueError as error:
        raise malformed(path, str(error)) from None


def read_lines(directory: Path, name: str) -> DatedSecrets:
    """The same of a credential that is lines."""
    found = read_rotating(directory, name)
    if isinstance(found, TokenKeys):
        raise TypeError(f"{name} is no credential of lines")
    return found


def read_newest(directory: Path, name: str) -> str:
    """The secret in use, of a credential that is lines. Raises as `read_rotating` does."""
    return read_lines(directory, name).newest.text
