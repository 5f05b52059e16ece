"""Which of two secrets goes before the other, the one that a service holds or the one in Valkey."""

from __future__ import annotations

from datetime import timedelta

import pytest

from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.token_keys import TokenKeys
from appliance.state.shared_secrets import Sealed, SealError

KEYRING = Keyring.create()
DRAWN, OTHER = TokenKeys.create(), TokenKeys.create()
ROTATED = DRAWN.rotated(timedelta(hours=1))
TWICE = ROTATED.rotated(timedelta(hours=1))


def sealed(keys: TokenKeys, keyring: Keyring = KEYRING) -> Sealed:
    return Sealed.seal("view-token-keys", keys.version, keys.dumps(), keyring)


@pytest.mark.parametrize(
    ("held", "there", "instead"),
    [
        (None, DRAWN, DRAWN),
        (DRAWN, DRAWN, None),
        (OTHER, DRAWN, DRAWN),  # nobody has rotated: what all see
        (OTHER, ROTATED, ROTATED),
        (ROTATED, OTHER, None),
        (ROTATED, TWICE, TWICE),
        (TWICE, ROTATED, None),
        (TWICE, TWICE, None),
    ],
)
def test_the_later_one_goes_before_and_of_two_drawn_ones_that_in_valkey(
    held: TokenKeys | None, there: TokenKeys, instead: TokenKeys | None
) -> None:
    assert sealed(there).instead_of(held, KEYRING) == instead


def test_what_cannot_be_opened_or_read_goes_before_nothing() -> None:
    with pytest.raises(SealError, match="another master key"):
        sealed(ROTATED, Keyring.create()).instead_of(DRAWN, KEYRING)
    assert sealed(ROTATED, Keyring.create()).instead_of(TWICE, KEYRING) is None
    broken = Sealed.seal("rtmp-reader-secret@here", 1, "s3cret=x", KEYRING)
    with pytest.raises(SealError, match="rtmp-reader-secret@here is malformed") as caught:
        broken.instead_of(DatedSecrets.parse("abc"), KEYRING)
    assert "s3cret" not in str(caught.value)
