"""Stream keys: what an encoder shows to publish a registered stream. Drawn here, shown once, kept as digests.

A key is `ID.SECRET`: the id finds its record in one look and stands in logs, the secret does neither.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from appliance.names import StreamName

_ID_BYTES: Final = 5
_SECRET_BYTES: Final = 20
"""160 bits: nobody guesses one, also not who has the digests."""

_KEY: Final = re.compile(r"([a-z2-7]{8})\.([a-z2-7]{32})", re.ASCII)
"""Base 32 (RFC 4648, section 6) in lower case: nothing in it means anything in a URL."""


class StreamKey(NamedTuple):
    """A key's two halves."""

    id: str
    secret: str

    def __str__(self) -> str:
        """The key as an encoder shows it, `?key=…` behind the stream's name."""
        return f"{self.id}.{self.secret}"

    def __repr__(self) -> str:
        return f"StreamKey(id={self.id!r})"


def draw_key() -> StreamKey:
    """Returns a key that nobody has had before."""
    return StreamKey(_base32(secrets.token_bytes(_ID_BYTES)), _base32(secrets.token_bytes(_SECRET_BYTES)))


def derive_key(pepper: bytes, stream: StreamName, idempotency_key: str, made_at: str) -> StreamKey:
    """Returns the key that a repeated request gets again.

    Its id is the same for the same `idempotency_key`. Its secret depends on `made_at` too, as its record has
    it: once that is forgotten, the same request makes another key.
    """
    name = f"{stream}\0{idempotency_key}"
    drawn = hmac.digest(pepper, f"draw\0{name}".encode(), hashlib.sha512)
    secret = hmac.digest(pepper, f"secret\0{made_at}\0{name}".encode(), hashlib.sha512)
    return StreamKey(_base32(drawn[:_ID_BYTES]), _base32(secret[:_SECRET_BYTES]))


def parse_key(text: str) -> StreamKey | None:
    """Returns the key that `text` spells; None when it is none."""
    match = _KEY.fullmatch(text)
    return None if match is None else StreamKey(match[1], match[2])


def digest(pepper: bytes, stream: StreamName, key: StreamKey) -> str:
    """Returns what is kept of a key, HMAC-SHA256 in hex; of no use for another stream."""
    return hmac.digest(pepper, f"key\0{stream}\0{key}".encode(), hashlib.sha256).hex()


def matches(pepper: bytes, stream: StreamName, key: StreamKey, kept: str) -> bool:
    """Whether `key` is the one whose digest was kept; takes as long whatever the answer."""
    return hmac.compare_digest(digest(pepper, stream, key), kept)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
