"""The keys that sign view tokens (HMAC-SHA256, RFC 7518, section 3.2).

A JSON file: ``{"current": KID, "keys": {KID: {"secret": HEX, "created": ISO 8601}}}``. A key that signed once
has the time of its end in "retired"; it verifies what it signed until it is taken out.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_CONFIG, OperatorError
from appliance.secrets.moment import moment

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_SECRET_BYTES: Final = 32
"""RFC 7518 asks for a key at least as long as the hash."""

_KID_BYTES: Final = 8
_KID: Final = re.compile(r"[0-9a-f]{16}")
_SECRET: Final = re.compile(r"[0-9a-f]{64}")


class TokenKeysError(ValueError):
    """The text is no file of token keys; the message says why and holds no secret."""


@dataclass(frozen=True, slots=True)
class TokenKey:
    """One signing key. `secret` is 32 bytes and never shows in a repr.

    `retired` is when it stopped being the one that signs; None while it is.
    """

    secret: bytes = field(repr=False)
    created: datetime
    retired: datetime | None = None


@dataclass(frozen=True, slots=True)
class TokenKeys:
    """The signing keys a host holds, by their id (a token's `kid`); `current` is the one that signs."""

    current: str
    keys: Mapping[str, TokenKey]

    @classmethod
    def create(cls, *, now: datetime | None = None) -> TokenKeys:
        """One fresh key."""
        kid = secrets.token_hex(_KID_BYTES)
        return cls(kid, {kid: TokenKey(secrets.token_bytes(_SECRET_BYTES), now or datetime.now(UTC))})

    @classmethod
    def load(cls, path: Path) -> TokenKeys:
        """Reads the file `path`.

        Raises OperatorError (EX_CONFIG) when it cannot be read or holds no keys; never shows its content.
        """
        try:
            return cls.parse(path.read_text(encoding="ascii"))
        except OSError as error:
            raise _refusal(path, f"cannot be read: {error.strerror}") from None
        except ValueError as error:
            # UnicodeDecodeError is a ValueError that quotes the file.
            reason = "not ASCII text" if isinstance(error, UnicodeError) else str(error)
            raise _refusal(path, reason) from None

    @classmethod
    def parse(cls, text: str) -> TokenKeys:
        """The keys that `text` (JSON) describes. Raises TokenKeysError."""
        try:
            data: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise TokenKeysError(f"not JSON (line {error.lineno})") from None
        except (ValueError, RecursionError):  # a number of thousands of digits; brackets without end
            raise TokenKeysError("not JSON that can be read") from None
        if not isinstance(data, dict) or not isinstance(data.get("keys"), dict):
            raise TokenKeysError('no object with "current" and "keys"')
        keys = {kid: _key(kid, entry) for kid, entry in data["keys"].items()}
        current = data.get("current")
        if not isinstance(current, str) or current not in keys:
            raise TokenKeysError('"current" names none of the keys')
        if keys[current].retired is not None:
            raise TokenKeysError('"current" names a key that is retired')
        return cls(current, keys)

    def dumps(self) -> str:
        """The file's text. It holds the keys: write it with mode 0400 and nowhere else."""
        entries = {}
        for kid, key in sorted(self.keys.items(), key=lambda item: item[1].created):
            entries[kid] = {"secret": key.secret.hex(), "created": key.created.isoformat()}
            if key.retired is not None:
                entries[kid]["retired"] = key.retired.isoformat()
        return json.dumps({"current": self.current, "keys": entries}, indent=2) + "\n"

    def rotated(self, *, now: datetime | None = None) -> TokenKeys:
        """A fresh key signs from `now` on; the one before it still verifies."""
        moment_of_change = now or datetime.now(UTC)
        fresh = TokenKeys.create(now=moment_of_change)
        before = replace(self.keys[self.current], retired=moment_of_change)
        return TokenKeys(fresh.current, {**self.keys, self.current: before, **fresh.keys})

    def without(self, *, retired_before: datetime) -> TokenKeys:
        """Forgets the keys that were retired before that time: what they signed is refused from then on."""
        kept = {
            kid: key for kid, key in self.keys.items() if key.retired is None or key.retired >= retired_before
        }
        return replace(self, keys=kept)


def _key(kid: str, entry: object) -> TokenKey:
    if _KID.fullmatch(kid) is None:
        raise TokenKeysError("a key's id is not 16 hex digits")
    if not isinstance(entry, dict):
        raise TokenKeysError(f"key {kid} is not an object")
    secret = entry.get("secret")
    if not isinstance(secret, str) or _SECRET.fullmatch(secret) is None:
        raise TokenKeysError(f'"secret" of key {kid} is not 64 hex digits')
    created, retired = moment(entry.get("created")), moment(entry.get("retired"))
    if created is None:
        raise TokenKeysError(f'"created" of key {kid} is not an ISO 8601 time with its zone')
    if retired is None and entry.get("retired") is not None:
        raise TokenKeysError(f'"retired" of key {kid} is not an ISO 8601 time with its zone')
    return TokenKey(bytes.fromhex(secret), created, retired)


def _refusal(path: Path, reason: str) -> OperatorError:
    return OperatorError(
        f"view token keys {path}: {reason}",
        exit_code=EX_CONFIG,
        hint="make the missing credentials with: appliance credentials init",
    )
