"""Derivation, and the keyring's file."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from appliance.errors import OperatorError
from appliance.secrets.content_keys import KeyId, UnknownKeyError
from appliance.secrets.json_file import MalformedKeysError
from appliance.secrets.keyring import Keyring

if TYPE_CHECKING:
    from pathlib import Path

MASTER = bytes(range(32))
KEYRING = Keyring.create(MASTER, now=datetime(2026, 1, 1, tzinfo=UTC))
KID = "1-000102030405060708090a0b0c0d0e0f"


def test_the_derivation_is_as_documented() -> None:
    info = b"appliance hls content key\0demo"
    expected = HKDF(SHA256(), 16, bytes(range(16)), info).derive(MASTER)
    assert KEYRING.derive(KID, "demo") == expected
    # Fixed for ever: other nodes and later versions have to answer the same.
    assert expected.hex() == "546c619e216923ed72e81abe3c478958"


def test_streams_and_ids_have_keys_of_their_own() -> None:
    ids = {KEYRING.new_key_id() for _ in range(100)}
    assert len(ids) == 100
    assert len({KEYRING.derive(kid, stream) for kid in ids for stream in ("a", "b")}) == 200


def test_an_id_tells_its_age_and_never_comes_twice() -> None:
    before = int(time.time())
    ids = [KeyId.parse(KEYRING.new_key_id()) for _ in range(10_000)]
    assert all(before <= kid.born <= time.time() for kid in ids)
    assert len({kid.nonce for kid in ids}) == len(ids)
    # what cannot be guessed is the rest: 96 bits
    assert len({kid.nonce[4:] for kid in ids}) == len(ids)


@pytest.mark.parametrize(
    "kid",
    [
        "",
        "1",
        "2-" + "0" * 32,
        "1-" + "0" * 31,
        "1-" + "0" * 33,
        "1-" + "G" * 32,
        "01-" + "0" * 32,
        f"{KID}\n",
    ],
)
def test_unknown_ids(kid: str) -> None:
    with pytest.raises(UnknownKeyError):
        KEYRING.derive(kid, "demo")


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "content-keyring"
    path.write_text(KEYRING.dumps())
    assert Keyring.load(path) == KEYRING


def test_a_master_of_16_bytes() -> None:
    assert len(Keyring.parse(Keyring.create(b"k" * 16).dumps()).derive(KID, "demo")) == 16
    with pytest.raises(ValueError, match="16 or 32"):
        Keyring.create(b"k" * 20)


def edited(**changes: object) -> str:
    return json.dumps({**json.loads(KEYRING.dumps()), **changes})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "[" * 100_000,
        "9" * 5000,
        edited(current=[1]),
        "{}",
        edited(current=2),
        edited(current="1"),
        edited(current=True),
        edited(generations={"1": {"master": "abc", "created": "2026-01-01"}}),
        edited(generations={"1": {"master": MASTER.hex(), "created": "yesterday"}}),
        edited(generations={"1": {"master": MASTER.hex() + "zz", "created": "2026-01-01"}}),
        edited(generations={"0": {"master": MASTER.hex(), "created": "2026-01-01"}}),
        edited(generations={"1": None}),
        edited(generations={"1": {"master": MASTER.hex(), "created": "2026-01-01T00:00:00"}}),
        edited(generations={"1": {"master": MASTER.hex(), "created": "2026-01-01T00:00Z", "retired": 1}}),
        edited(next=1),
        edited(next=2),
        edited(next=MASTER.hex()),
        edited(next=[]),
        edited(given=MASTER.hex() + "zz"),
    ],
)
def test_what_is_no_keyring_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(MalformedKeysError):
        Keyring.parse(text)
    path = tmp_path / "content-keyring"
    path.write_text(text)
    with pytest.raises(OperatorError) as caught:
        Keyring.load(path)
    assert str(path) in str(caught.value)
    assert MASTER.hex()[:8] not in str(caught.value)


def test_a_missing_file_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="appliance credentials init"):
        Keyring.load(tmp_path / "content-keyring")


def test_a_repr_shows_no_master() -> None:
    assert MASTER.hex()[:8] not in repr(KEYRING)
    assert repr(MASTER)[2:10] not in repr(KEYRING)
