"""The credentials that may be replaced while services run: how each is read and replaced.

The new one is known to everybody who verifies before anybody uses it, and the old one is good for its grace;
`appliance.ops.rotation` has the order. Master keys have a way of their own (`appliance.ops.master_key`).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    READER_SECRET,
    STREAM_KEY_PEPPER,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
    drawn,
    read_credential,
)
from appliance.secrets.dated_secrets import DatedSecret, DatedSecrets
from appliance.secrets.refused import malformed
from appliance.secrets.token_keys import TokenKeys
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secrets

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime, timedelta
    from pathlib import Path


class Rotating(Protocol):
    """One credential that is replaced while services run: TokenKeys, or the lines of DatedSecrets."""

    @property
    def version(self) -> int:
        """Grows with each that replaces it."""

    @property
    def created(self) -> datetime | None:
        """When the one in use was made; None when nobody noted it."""

    @property
    def given(self) -> bool:
        """Whether the operator chose the one in use."""

    @property
    def kid(self) -> str | None:
        """The id of the one in use, where such have ids."""

    def valid(self, now: datetime) -> Self:
        """What is good at `now`."""

    def good_until(self, now: datetime) -> datetime | None:
        """Until when an older one is good that still is at `now`; None when there is none."""

    def dumps(self) -> str:
        """The file's text."""


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

    `shared`: the same on all hosts; the others are between the parts of one host. `parse` raises ValueError;
    `drawn` makes the first one, as of the given time or (None) older than all that have one; `rotated` puts a
    fresh one in front of what `parse` returns, which is good for as long as it says more.
    """

    parse: Callable[[str], Rotating]
    drawn: Callable[[datetime | None], Rotating]
    rotated: Callable[[Any, timedelta], Rotating]
    shared: bool


def _lines(parse: Callable[[str], DatedSecrets], fresh: Callable[[], str], *, shared: bool) -> Kind:
    return Kind(
        parse,
        lambda created: DatedSecrets((DatedSecret(fresh(), created),)),
        lambda present, grace: present.rotated(fresh(), grace),
        shared,
    )


ROTATING: Final = {
    VIEW_TOKEN_KEYS: Kind(TokenKeys.parse, TokenKeys.create, TokenKeys.rotated, shared=True),
    WEBHOOK_SECRET: _lines(parse_webhook_secrets, new_webhook_secret, shared=True),
    READER_SECRET: _lines(_reader_secrets, drawn, shared=False),
    ADMIN_TOKEN: _lines(DatedSecrets.parse, drawn, shared=False),
    VALKEY_PASSWORD: _lines(DatedSecrets.parse, drawn, shared=False),
}

HELD: Final = {**ROTATING, STREAM_KEY_PEPPER: _lines(DatedSecrets.parse, drawn, shared=True)}
"""What hosts have from each other, or from before they lost their files: those, and what stays as it is."""


def replaced(name: str, present: Rotating, grace: timedelta) -> Rotating:
    """A fresh secret in front of `present`, which is good for `grace` more."""
    return ROTATING[name].rotated(present, grace)


def read_rotating(directory: Path, name: str) -> Rotating:
    """What the credential `name` (one of HELD) holds.

    Raises OperatorError (EX_CONFIG) when it is missing, empty or malformed.
    """
    path = directory / name
    try:
        return HELD[name].parse(read_credential(path))
    except ValueError as error:
        raise malformed(path, str(error)) from None


def read_lines(directory: Path, name: str) -> DatedSecrets:
    """The same of a credential that is lines."""
    found = read_rotating(directory, name)
    if not isinstance(found, DatedSecrets):
        raise TypeError(f"{name} is no credential of lines")
    return found


def read_newest(directory: Path, name: str) -> str:
    """The secret in use, of a credential that is lines. Raises as `read_rotating` does."""
    return read_lines(directory, name).newest.text
