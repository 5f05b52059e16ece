"""Content keys are derived, never stored.

A key id names a generation of the master key and a nonce; whoever holds that master answers for the id:

    key = HKDF-SHA256(master[generation], salt=nonce, info="appliance hls content key" 00 stream, 16 bytes)

(RFC 5869). The stream's name is part of the derivation, so that an id seen on one stream opens no other.

A nonce begins with the second it was drawn in, and 12 random bytes follow. So an id can neither be guessed
nor occur twice, and who holds the master alone, knowing nothing of the stream, still sees how old it is.
"""

from __future__ import annotations

import re
import secrets
import time
from typing import Final, NamedTuple, Self

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

CONTENT_KEY_BYTES: Final = 16
"""AES-128 (RFC 8216, 4.3.2.4)."""

KEY_ID: Final = "[1-9][0-9]{0,8}-[0-9a-f]{32}"
"""What a key id matches."""

_BORN_BYTES: Final = 4  # unix seconds, enough until 2106
_RANDOM_BYTES: Final = 12
_INFO: Final = b"appliance hls content key\0"


class UnknownKeyError(LookupError):
    """The text is no key id, or its generation is not in the keyring (any more)."""


class KeyId(NamedTuple):
    """A key id's parts; its text is generation, hyphen, nonce in lower-case hex."""

    generation: int
    nonce: bytes

    @classmethod
    def new(cls, generation: int) -> Self:
        """A key id that was never used before: `generation` with a fresh nonce."""
        born = int(time.time()).to_bytes(_BORN_BYTES)
        return cls(generation, born + secrets.token_bytes(_RANDOM_BYTES))

    @classmethod
    def parse(cls, text: str) -> Self:
        """The parts of `text`. Raises UnknownKeyError when it is no key id."""
        if re.fullmatch(KEY_ID, text) is None:
            raise UnknownKeyError("no such key id")
        generation, _, nonce = text.partition("-")
        return cls(int(generation), bytes.fromhex(nonce))

    @property
    def born(self) -> int:
        """When it was made, unix seconds, by the clock of the host that made it."""
        return int.from_bytes(self.nonce[:_BORN_BYTES])

    def __str__(self) -> str:
        return f"{self.generation}-{self.nonce.hex()}"


def derive(master: bytes, nonce: bytes, stream: str) -> bytes:
    """The 16 bytes of the content key of `stream` that `nonce` stands for."""
    derivation = HKDF(algorithm=SHA256(), length=CONTENT_KEY_BYTES, salt=nonce, info=_INFO + stream.encode())
    return derivation.derive(master)
