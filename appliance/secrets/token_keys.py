"""The keys that sign view tokens (HMAC-SHA256, RFC 7518, section 3.2).

A JSON file: ``{"current": KID, "keys": {KID: {"secret": HEX, "created": ISO 8601}}}``. A key that signed once
has the time of that in "retired", and in "ends" the time until which it verifies what it signed. One without
"created" was drawn by the first run on the host, and is older than any that a rotation has made.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from appliance.secrets.json_file import (
    MalformedKeysError,
    load,
    parse_entry,
    parse_object,
    parse_optional_time,
)
from appliance.secrets.moment import after, holds, version_of

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SECRET_BYTES: Final = 32
"""RFC 7518 asks for a key at least as long as the hash."""

_KID_BYTES: Final = 8
_KID: Final = re.compile(r"[0-9a-f]{16}")
_SECRET: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One signing key. `secret` is 32 bytes and never shows in a repr.

    `retired` is when it stopped being the one that signs, `ends` when it stops verifying;
    None while it signs.
    """

    secret: bytes = field(repr=False)
    created: datetime | None = None
    retired: datetime | None = None
    ends: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The signing keys a host holds, by their id (a token's `kid`); `current` is the one that signs."""

    current: str
    keys: Mapping[str, TokenKey]

    @classmethod
    def create(cls, created: datetime | None = None) -> TokenKeys:
        """One fresh key, made at `created`; without a time it is older than all that have one."""
        kid = secrets.token_hex(_KID_BYTES)
        return cls(kid, {kid: TokenKey(secrets.token_bytes(_SECRET_BYTES), created)})

    @classmethod
    def load(cls, path: Path) -> TokenKeys:
        """Reads the file `path`.

        Raises OperatorError (EX_CONFIG) when it cannot be read or holds no keys; never shows its content.
        """
        return load(path, cls.parse, what="view token keys")

    @classmethod
    def parse(cls, text: str) -> TokenKeys:
        """The keys that `text` (JSON) describes. Raises MalformedKeysError."""
        data, entries = parse_object(text, "keys")
        keys = {kid: _key(kid, entry) for kid, entry in entries.items()}
        current = data.get("current")
        if not isinstance(current, str) or current not in keys:
            raise MalformedKeysError('"current" names none of the keys')
        if keys[current].retired is not None or keys[current].ends is not None:
            raise MalformedKeysError('"current" names a key that is retired')
        return cls(current, keys)

    @property
    def version(self) -> int:
        """Which of two files is the later one: milliseconds of the key that signs, 0 when nobody noted it."""
        return version_of(self.created)

    @property
    def created(self) -> datetime | None:
        """When the key that signs was made; None when nobody noted it."""
        return self.keys[self.current].created

    @property
    def given(self) -> bool:
        """No operator chooses these keys."""
        return False

    @property
    def kid(self) -> str:
        """The id of the key that signs."""
        return self.current

    def dumps(self) -> str:
        """The file's text. It holds the keys: write it with mode 0400 and nowhere else."""
        entries = {}
        for kid, key in sorted(self.keys.items(), key=lambda item: version_of(item[1].created)):
            entries[kid] = {"secret": key.secret.hex()}
            times = {"created": key.created, "retired": key.retired, "ends": key.ends}
            entries[kid] |= {name: time.isoformat() for name, time in times.items() if time is not None}
        return json.dumps({"current": self.current, "keys": entries}, indent=2) + "\n"

    def rotated(self, grace: timedelta, *, now: datetime | None = None) -> TokenKeys:
        """A fresh key signs from `now` on; the one before it verifies for `grace` more."""
        began = after(self.created, now or datetime.now(UTC))
        fresh, end = TokenKeys.create(began), began + grace
        old = {
            kid: replace(key, retired=key.retired or began, ends=min(key.ends or end, end))
            for kid, key in self.keys.items()
        }
        return TokenKeys(fresh.current, {**old, **fresh.keys}).valid(began)

    def good_until(self, now: datetime) -> datetime | None:
        """Until when an older key verifies that still does at `now`; None when there is none."""
        ends = [key.ends for key in self.valid(now).keys.values()]
        return max((end for end in ends if end is not None), default=None)

    def valid(self, now: datetime) -> TokenKeys:
        """Those that verify at `now`; the one that signs always does."""
        if all(holds(key.ends, now) for key in self.keys.values()):
            return self
        return replace(self, keys={kid: key for kid, key in self.keys.items() if holds(key.ends, now)})


def _key(kid: str, entry: object) -> TokenKey:
    if _KID.fullmatch(kid) is None:
        raise MalformedKeysError("a key's id is not 16 hex digits")
    whose = f"key {kid}"
    fields = parse_entry(entry, whose)
    secret = fields.get("secret")
    if not isinstance(secret, str) or _SECRET.fullmatch(secret) is None:
        raise MalformedKeysError(f'"secret" of {whose} is not 64 hex digits')
    return TokenKey(
        bytes.fromhex(secret),
        parse_optional_time(fields, "created", whose),
        parse_optional_time(fields, "retired", whose),
        parse_optional_time(fields, "ends", whose),
    )
