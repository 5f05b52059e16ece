"""The generations of master keys that a host holds.

A JSON file: ``{"current": 1, "generations": {"1": {"master": HEX, "created": ISO 8601}}}``.
"""

from __future__ import annotations

import json
import re
import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.errors import EX_CONFIG, OperatorError
from appliance.secrets.content_keys import KeyId, UnknownKeyError, derive

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

_MASTER_LENGTHS: Final = (16, 32)
_MASTER_FORM: Final = re.compile("|".join(f"[0-9a-fA-F]{{{2 * length}}}" for length in _MASTER_LENGTHS))


class KeyringError(ValueError):
    """The text is no keyring; the message says why and holds no secret."""


def parse_master(text: str) -> bytes:
    """The master key that `text` spells, 32 or 64 hex digits. Raises ValueError, which holds none of it."""
    # Checked by hand: the error of bytes.fromhex shows where in the secret it stumbled.
    if _MASTER_FORM.fullmatch(text) is None:
        raise ValueError(f"a text of {len(text)} characters is refused; allowed are 32 or 64 hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Generation:
    """One master key. `master` is 16 or 32 bytes and never shows in a repr."""

    master: bytes = field(repr=False)
    created: datetime


@dataclass(frozen=True, slots=True)
class Keyring:
    """The generations of master keys a host holds; `current` is the one new key ids use."""

    current: int
    generations: Mapping[int, Generation]

    @classmethod
    def create(cls, master: bytes | None = None, *, now: datetime | None = None) -> Keyring:
        """A keyring of one generation, from `master` (16 or 32 bytes) or from fresh random bytes.

        Raises ValueError when `master` has another length.
        """
        key = secrets.token_bytes(32) if master is None else master
        if len(key) not in _MASTER_LENGTHS:
            raise ValueError(f"a master key has 16 or 32 bytes, not {len(key)}")
        return cls(1, {1: Generation(key, now or datetime.now(UTC))})

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Reads the keyring file `path`.

        Raises OperatorError (EX_CONFIG) when it cannot be read or is not a keyring; never shows its content.
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
    def parse(cls, text: str) -> Keyring:
        """The keyring that `text` (JSON) describes. Raises KeyringError."""
        try:
            data: Any = json.loads(text)
        except json.JSONDecodeError as error:
            raise KeyringError(f"not JSON (line {error.lineno})") from None
        if not isinstance(data, dict) or not isinstance(data.get("generations"), dict):
            raise KeyringError('no object with "current" and "generations"')
        generations = {_number(key): _generation(key, entry) for key, entry in data["generations"].items()}
        current = data.get("current")
        if isinstance(current, bool) or not isinstance(current, int) or current not in generations:
            raise KeyringError('"current" names none of the generations')
        return cls(current, generations)

    def dumps(self) -> str:
        """The file's text. It holds the master keys: write it with mode 0400 and nowhere else."""
        entries = {
            str(number): {"master": item.master.hex(), "created": item.created.isoformat()}
            for number, item in sorted(self.generations.items())
        }
        return json.dumps({"current": self.current, "generations": entries}, indent=2) + "\n"

    def new_key_id(self) -> str:
        """A key id that was never used before, of the current generation."""
        return str(KeyId.new(self.current))

    def derive(self, kid: str, stream: str) -> bytes:
        """The 16 bytes of content key `kid` of `stream`.

        Raises UnknownKeyError when `kid` is no key id or its generation is not here.
        """
        number, nonce = KeyId.parse(kid)
        generation = self.generations.get(number)
        if generation is None:
            raise UnknownKeyError("no such key id")
        return derive(generation.master, nonce, stream)


def _number(text: str) -> int:
    if re.fullmatch(r"[1-9][0-9]{0,8}", text) is None:
        raise KeyringError("a generation is not a whole number from 1 to 999999999")
    return int(text)


def _generation(number: str, entry: object) -> Generation:
    if not isinstance(entry, dict):
        raise KeyringError(f"generation {number} is not an object")
    master, created = entry.get("master"), entry.get("created")
    try:
        key = parse_master(master) if isinstance(master, str) else None
    except ValueError:
        key = None
    if key is None:
        raise KeyringError(f'"master" of generation {number} is not 32 or 64 hex digits')
    try:
        moment = datetime.fromisoformat(created) if isinstance(created, str) else None
    except ValueError:
        moment = None
    if moment is None:
        raise KeyringError(f'"created" of generation {number} is not an ISO 8601 time')
    return Generation(key, moment)


def _refusal(path: Path, reason: str) -> OperatorError:
    return OperatorError(
        f"content keyring {path}: {reason}",
        exit_code=EX_CONFIG,
        hint="make the missing credentials with: appliance credentials init",
    )
