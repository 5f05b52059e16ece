"""Operators' passwords: which are taken, and how they are kept (scrypt, RFC 7914).

A password is chosen by a person, so what is kept of it has to be slow to guess. The parameters are those of
OWASP's Password Storage Cheat Sheet for 32 MiB; they stand with each digest, so that later ones may differ.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
import unicodedata
from dataclasses import dataclass, field, replace
from typing import Final

SHORTEST: Final = 12
LONGEST: Final = 200
"""Characters. NIST SP 800-63B-4, 3.1.1.2, asks for 15 where nothing else is shown; guesses are few here, as
failures lock a name."""

_COST: Final = 2**15
_BLOCK: Final = 8
_PARALLEL: Final = 3
_MOST_BYTES: Final = 64 * 1024 * 1024
"""What OpenSSL may take: 128 × cost × block (32 MiB), and some to spare."""


class WeakPasswordError(ValueError):
    """The password is not taken; the message says why, and never repeats it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PasswordDigest:
    """What is kept of a password; `salt` and `digest` in base 16."""

    cost: int
    block: int
    parallel: int
    salt: str
    digest: str = field(repr=False)

    @classmethod
    def of(cls, password: str) -> PasswordDigest:
        """Returns the digest of `password`, after some 0.4 s of one core."""
        empty = cls(cost=_COST, block=_BLOCK, parallel=_PARALLEL, salt=secrets.token_hex(16), digest="")
        return replace(empty, digest=empty.made_of(password))

    def fits(self, password: str) -> bool:
        """Whether `password` is the one, after as long."""
        return hmac.compare_digest(self.made_of(password), self.digest)

    def made_of(self, password: str) -> str:
        """The digest that `password` has with this salt."""
        return hashlib.scrypt(
            normal(password).encode(),
            salt=bytes.fromhex(self.salt),
            n=self.cost,
            r=self.block,
            p=self.parallel,
            maxmem=_MOST_BYTES,
            dklen=32,
        ).hex()


NOBODYS: Final = PasswordDigest(
    cost=_COST, block=_BLOCK, parallel=_PARALLEL, salt="00" * 16, digest="00" * 32
)
"""Compared where there is no such operator, so that the answer takes as long."""


def normal(password: str) -> str:
    """One form of `password`, however a keyboard composes its letters (NFKC, as NIST SP 800-63B asks for)."""
    return unicodedata.normalize("NFKC", password)


def draw_password() -> str:
    """Returns a new password of 144 bits."""
    return secrets.token_urlsafe(18)


def check_password(password: str, *, name: str) -> None:
    """Raises WeakPasswordError unless `password` may be that of the operator `name`."""
    length = len(normal(password))
    if not SHORTEST <= length <= LONGEST:
        raise WeakPasswordError(
            f"the password has {length} characters; allowed are {SHORTEST} to {LONGEST}, of any kind"
        )
    if len(set(password)) < 5:
        raise WeakPasswordError("the password has fewer than five different characters")
    if name.lower() in password.lower() and length < SHORTEST + len(name):
        raise WeakPasswordError("the password is little more than the operator's name")
