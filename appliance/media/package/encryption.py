"""AES-128-CBC of whole segments and whole parts (RFC 8216, 4.3.2.4: METHOD=AES-128).

Each is a CBC stream of its own with PKCS#7 padding. The IV is random and fresh for each segment, and stands
in the playlist: two segments under one key never share it, whatever their sequence numbers are. A segment's
parts stand under the same EXT-X-KEY and so have its IV; the first begins with the segment's own bytes.
"""

from __future__ import annotations

import secrets
from typing import Final

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

IV_BYTES: Final = 16
_BLOCK: Final = 16


def new_iv() -> bytes:
    """16 fresh random bytes."""
    return secrets.token_bytes(IV_BYTES)


def encrypt(plain: bytes, key: bytes, iv: bytes) -> bytes:
    """`plain` padded by PKCS#7 (RFC 5652, 6.3) and encrypted by AES-128-CBC; `key` and `iv` have 16 bytes.

    Raises ValueError when `key` or `iv` has another length.
    """
    if len(key) != 16:
        raise ValueError(f"an AES-128 key has 16 bytes, not {len(key)}")
    pad = _BLOCK - len(plain) % _BLOCK
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(plain) + encryptor.update(bytes([pad]) * pad) + encryptor.finalize()
