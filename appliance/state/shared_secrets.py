"""Secrets that running control services take over, on this host and on others: sealed, in Valkey.

What stands in Valkey is AES-256-GCM under a key derived from a master key of the content keyring, which every
host has; Valkey, its files and its backups hold nothing that opens anything. A newer one is never replaced by
an older one. Each control service notes for a while what it holds, so that who rotates a secret knows when it
is known everywhere.
"""

from __future__ import annotations

import base64
import binascii
import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.secrets.rotating import HELD
from appliance.state.valkey import PREFIX, Script, State, translated

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.secrets.keyring import Keyring
    from appliance.secrets.rotating import Rotating

SECRETS: Final = f"{PREFIX}secrets"
_NOTES: Final = f"{PREFIX}secrets:held:"

HELD_SECONDS: Final = 20
"""How long a control service that says nothing more is still waited for."""

_NONCE_BYTES: Final = 12
_INFO: Final = b"appliance shared secret\0"


def field_of(name: str, host: str) -> str:
    """Where the secret `name` stands: one between the parts of a host stands beside those of others."""
    return name if HELD[name].shared else f"{name}@{host}"


class SealError(Exception):
    """What stands in Valkey was not sealed with a master key of this host; the message holds no secret."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """One secret as it stands in Valkey: `version` grows, `generation` is that of the master key."""

    name: str
    version: int
    generation: int
    ciphertext: str

    @classmethod
    def seal(cls, name: str, version: int, text: str, keyring: Keyring) -> Sealed:
        """Seals `text` under the current master key."""
        generation = keyring.current
        nonce = secrets.token_bytes(_NONCE_BYTES)
        sealed = nonce + _cipher(keyring, generation).encrypt(
            nonce, text.encode(), _bound(name, version, generation)
        )
        return cls(name, version, generation, base64.b64encode(sealed).decode())

    @classmethod
    def parse(cls, name: str, field: str) -> Sealed:
        """What the field `name` holds. Raises SealError."""
        version, _, rest = field.partition(".")
        generation, _, ciphertext = rest.partition(".")
        if not all(part.isascii() and part.isdigit() and len(part) < 17 for part in (version, generation)):
            raise SealError(f"{name} in {SECRETS} is no record of this program")
        return cls(name, int(version), int(generation), ciphertext)

    def instead_of(self, held: Rotating | None, keyring: Keyring) -> Rotating | None:
        """What is sealed, where it goes before `held`; None where that stays. Raises SealError.

        The later one does. Of two that were only drawn nobody knows which is: there, what all can see does.
        """
        if held is not None and (self.version < held.version or self.version == held.version > 0):
            return None
        try:
            found = HELD[self.name.partition("@")[0]].parse(self.open(keyring))
        except ValueError:
            raise SealError(f"{self.name} is malformed") from None
        return None if found == held else found

    def open(self, keyring: Keyring) -> str:
        """The text. Raises SealError."""
        if self.generation not in keyring.generations:
            raise SealError(f"{self.name} was sealed with a master key that is not here")
        try:
            sealed = base64.b64decode(self.ciphertext, validate=True)
            nonce, rest = sealed[:_NONCE_BYTES], sealed[_NONCE_BYTES:]
            bound = _bound(self.name, self.version, self.generation)
            return _cipher(keyring, self.generation).decrypt(nonce, rest, bound).decode()
        except (InvalidTag, binascii.Error, ValueError):
            raise SealError(f"{self.name} was sealed with another master key, or changed since") from None


class SharedSecrets:
    """The sealed secrets of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._client = state.client
        self._offer = Script(state, "offer_secret")

    async def all(self) -> dict[str, str]:
        """Every field, by name; `Sealed.parse` reads it."""
        with translated():
            async with self._client.pipeline(transaction=False) as pipe:
                pipe.hgetall(SECRETS)
                [found] = await pipe.execute()
        return dict(found)

    async def offer(self, sealed: Sealed, *, instead_of: int) -> bool:
        """Stores it; False when what is there is newer than the version `instead_of`.

        So it is, too, when what is there is the same version under as new a master key.
        """
        fields = [sealed.name, str(sealed.version), str(sealed.generation), sealed.ciphertext]
        fields.append(str(instead_of))
        return bool(await self._offer([SECRETS], fields))

    async def note_held(self, host: str, versions: Mapping[str, int]) -> None:
        """The control service of `host` has these, for the next HELD_SECONDS."""
        with translated():
            await self._client.set(_NOTES + host, json.dumps(dict(versions)), ex=HELD_SECONDS)

    async def forget_held(self, host: str) -> None:
        """The control service of `host` ends: nobody waits for it."""
        with translated():
            await self._client.delete(_NOTES + host)

    async def held(self, name: str, host: str | None = None) -> dict[str, int]:
        """Which version of `name` the control services that run have, by their hosts.

        With `host` that one alone is asked for.
        """
        with translated():
            keys = (
                [_NOTES + host]
                if host
                else [key async for key in self._client.scan_iter(f"{_NOTES}*", count=100)]
            )
            values = await self._client.mget(keys) if keys else []
        found = zip(keys, values, strict=True)
        return {key.removeprefix(_NOTES): _held(value, name) for key, value in found if value}


def _held(value: str, name: str) -> int:
    try:
        return int(json.loads(value).get(name, 0))
    except (ValueError, TypeError, AttributeError):
        return 0


def _bound(name: str, version: int, generation: int) -> bytes:
    """What stands beside the secret in the clear, and must fit it."""
    return f"{name}\0{version}\0{generation}".encode()


def _cipher(keyring: Keyring, generation: int) -> AESGCM:
    master = keyring.generations[generation].master
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=_INFO).derive(master))
