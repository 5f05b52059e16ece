"""The generations of master keys that a host holds.

A JSON file: ``{"current": 1, "generations": {"1": {"master": HEX, "created": ISO 8601}}}``. A generation that
was current once has the time of its end in "retired". "next" names one that shall become current as soon as
the control service has it; "given" is the SHA-256 of the last HLS_ENCRYPTION_KEY.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from appliance.secrets.content_keys import KeyId, UnknownKeyError, derive
from appliance.secrets.json_file import (
    MalformedKeysError,
    load,
    parse_entry,
    parse_object,
    parse_optional_time,
    parse_time,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

_MASTER_LENGTHS: Final = (16, 32)
_MASTER_FORM: Final = re.compile("|".join(f"[0-9a-fA-F]{{{2 * length}}}" for length in _MASTER_LENGTHS))


def parse_master(text: str) -> bytes:
    """The master key that `text` spells, 32 or 64 hex digits. Raises ValueError, which holds none of it."""
    # Checked by hand: the error of bytes.fromhex shows where in the secret it stumbled.
    if _MASTER_FORM.fullmatch(text) is None:
        raise ValueError(f"a text of {len(text)} characters is refused; allowed are 32 or 64 hex digits")
    return bytes.fromhex(text)


@dataclass(frozen=True, slots=True)
class Generation:
    """One master key. `master` is 16 or 32 bytes and never shows in a repr.

    `retired` is when it stopped being the current one; None while it is, or never was.
    """

    master: bytes = field(repr=False)
    created: datetime
    retired: datetime | None = None


@dataclass(frozen=True, slots=True)
class Keyring:
    """The generations of master keys a host holds; `current` is the one new key ids use.

    `next` is the generation of a rotation that has begun and is not finished. `given` is a digest of the last
    HLS_ENCRYPTION_KEY: the same key given again changes nothing, however often the master was rotated since.
    """

    current: int
    generations: Mapping[int, Generation]
    next: int | None = None
    given: str | None = field(default=None, repr=False)

    @classmethod
    def create(cls, master: bytes | None = None, *, now: datetime | None = None) -> Keyring:
        """A keyring of one generation, from `master` (16 or 32 bytes) or from fresh random bytes.

        Raises ValueError when `master` has another length.
        """
        key = secrets.token_bytes(32) if master is None else master
        if len(key) not in _MASTER_LENGTHS:
            raise ValueError(f"a master key has 16 or 32 bytes, not {len(key)}")
        given = None if master is None else _digest(master)
        return cls(1, {1: Generation(key, now or datetime.now(UTC))}, given=given)

    @classmethod
    def load(cls, path: Path) -> Keyring:
        """Reads the keyring file `path`.

        Raises OperatorError (EX_CONFIG) when it cannot be read or is not a keyring; never shows its content.
        """
        return load(path, cls.parse, what="content keyring")

    @classmethod
    def parse(cls, text: str) -> Keyring:
        """The keyring that `text` (JSON) describes. Raises MalformedKeysError."""
        data, entries = parse_object(text, "generations")
        generations = {_number(key): _generation(key, entry) for key, entry in entries.items()}
        current, following, given = data.get("current"), data.get("next"), data.get("given")
        # `True` is a number to Python, and equal to 1
        if type(current) is not int or current not in generations:
            raise MalformedKeysError('"current" names none of the generations')
        if following is not None and (
            type(following) is not int or following not in {*generations} - {current}
        ):
            raise MalformedKeysError('"next" names none of the generations, or the current one')
        if given is not None and not (isinstance(given, str) and re.fullmatch(r"[0-9a-f]{64}", given)):
            raise MalformedKeysError('"given" is not a SHA-256 in hex')
        return cls(current, generations, following, given)

    def dumps(self) -> str:
        """The file's text. It holds the master keys: write it with mode 0400 and nowhere else."""
        entries = {}
        for number, item in sorted(self.generations.items()):
            entries[str(number)] = {"master": item.master.hex(), "created": item.created.isoformat()}
            if item.retired is not None:
                entries[str(number)]["retired"] = item.retired.isoformat()
        document: dict[str, Any] = {"current": self.current, "generations": entries}
        document |= {
            key: value for key, value in (("next", self.next), ("given", self.given)) if value is not None
        }
        return json.dumps(document, indent=2) + "\n"

    def with_next(self) -> Keyring:
        """Adds a fresh generation that shall become current. Raises ValueError when one is waiting."""
        if self.next is not None:
            raise ValueError(f"generation {self.next} is waiting to become current")
        number = max(self.generations) + 1
        fresh = Generation(secrets.token_bytes(32), datetime.now(UTC))
        return replace(self, generations={**self.generations, number: fresh}, next=number)

    def promoted(self) -> Keyring:
        """The next generation is the current one now. Raises ValueError when none is waiting."""
        if self.next is None:
            raise ValueError("no generation is waiting to become current")
        before = replace(self.generations[self.current], retired=datetime.now(UTC))
        now = replace(self.generations[self.next], retired=None)
        changed = {**self.generations, self.current: before, self.next: now}
        return replace(self, current=self.next, generations=changed, next=None)

    def with_given(self, master: bytes) -> Keyring | None:
        """`master` was given as HLS_ENCRYPTION_KEY: the keyring with it as the next generation.

        None when it is the one that was given last: a rotation since then stays.
        """
        given = _digest(master)
        if given == self.given:
            return None
        # an earlier key may come back: its generation is still here
        same = [number for number, item in self.generations.items() if item.master == master]
        if self.current in same:
            return replace(self, next=None, given=given)
        number = same[0] if same else max(self.generations) + 1
        item = self.generations.get(number) or Generation(master, datetime.now(UTC))
        return replace(self, generations={**self.generations, number: item}, next=number, given=given)

    def without(self, numbers: Collection[int]) -> Keyring:
        """Forgets generations. Raises ValueError for one that has to stay, or is not here."""
        for number in numbers:
            if number not in self.generations:
                raise ValueError(f"generation {number} is not in the keyring")
            # The highest stays as well: its number would be given again, to another key.
            if number in {self.current, self.next, max(self.generations)}:
                raise ValueError(f"generation {number} is current, next or the newest")
        left = {number: item for number, item in self.generations.items() if number not in numbers}
        return replace(self, generations=left)

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
        raise MalformedKeysError("a generation is not a whole number from 1 to 999999999")
    return int(text)


def _generation(number: str, entry: object) -> Generation:
    whose = f"generation {number}"
    fields = parse_entry(entry, whose)
    master = fields.get("master")
    try:
        key = parse_master(master) if isinstance(master, str) else None
    except ValueError:
        key = None
    if key is None:
        raise MalformedKeysError(f'"master" of {whose} is not 32 or 64 hex digits')
    return Generation(
        key, parse_time(fields, "created", whose), parse_optional_time(fields, "retired", whose)
    )


def _digest(master: bytes) -> str:
    return hashlib.sha256(master).hexdigest()
