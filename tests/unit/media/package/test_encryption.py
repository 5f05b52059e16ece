"""AES-128-CBC as segments carry it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.package.encryption import encrypt, new_iv
from tests.unit.media.package.published import decrypt


@given(st.binary(max_size=100))
def test_encryption_round_trip(plain: bytes) -> None:
    key, iv = b"k" * 16, new_iv()
    data = encrypt(plain, key, iv)
    assert len(data) == len(plain) // 16 * 16 + 16
    assert decrypt(data, key, iv) == plain


def test_ivs_differ() -> None:
    assert len({new_iv() for _ in range(1000)}) == 1000


def test_key_length_is_checked() -> None:
    with pytest.raises(ValueError, match="16 bytes"):
        encrypt(b"x", b"k" * 32, new_iv())
