"""The keys of view tokens: their file, their rotation, and a file that is replaced while it is in use."""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.secrets.credentials import make_missing, replace_credential
from appliance.secrets.token_key_file import TokenKeyFile
from appliance.secrets.token_keys import TokenKeys, TokenKeysError

if TYPE_CHECKING:
    from pathlib import Path

BORN = datetime(2026, 1, 1, tzinfo=UTC)
KEYS = TokenKeys.create(now=BORN)
SECRET = KEYS.keys[KEYS.current].secret
ENTRY = {"secret": SECRET.hex(), "created": "2026-01-01T00:00:00+00:00"}


def edited(**changes: object) -> str:
    return json.dumps({**json.loads(KEYS.dumps()), **changes})


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "view-token-keys"
    twice = KEYS.rotated()
    path.write_text(twice.dumps())
    assert TokenKeys.load(path) == twice


def test_a_rotation_signs_with_a_new_key_and_keeps_the_old_one() -> None:
    rotated = KEYS.rotated(now=BORN + timedelta(days=30))
    assert rotated.current != KEYS.current
    assert rotated.keys[KEYS.current].secret == SECRET
    assert rotated.keys[KEYS.current].retired == BORN + timedelta(days=30)
    assert rotated.keys[rotated.current].retired is None
    assert rotated.keys[rotated.current].secret != SECRET


def test_old_keys_go_and_the_one_that_signs_stays() -> None:
    day = timedelta(days=1)
    rotated = KEYS.rotated(now=BORN + day).rotated(now=BORN + 2 * day)
    assert len(rotated.keys) == 3
    assert set(rotated.without(retired_before=BORN + day).keys) == set(rotated.keys)
    assert set(rotated.without(retired_before=BORN + 2 * day).keys) == set(rotated.keys) - {KEYS.current}
    assert set(rotated.without(retired_before=BORN + 99 * day).keys) == {rotated.current}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "[" * 100_000,
        "9" * 5000,
        edited(current="0" * 16),
        edited(current=None),
        edited(current=[]),
        edited(keys={}),
        edited(keys={"1": ENTRY}),
        edited(keys={KEYS.current: None}),
        edited(keys={KEYS.current: {**ENTRY, "secret": SECRET.hex()[1:]}}),
        edited(keys={KEYS.current: {**ENTRY, "secret": SECRET.hex() + "\n"}}),
        edited(keys={KEYS.current: {**ENTRY, "secret": None}}),
        edited(keys={KEYS.current: {**ENTRY, "created": "yesterday"}}),
        edited(keys={KEYS.current: {**ENTRY, "created": "2026-01-01T00:00:00"}}),
        edited(keys={KEYS.current: {**ENTRY, "retired": 1}}),
        edited(keys={KEYS.current: {**ENTRY, "retired": ENTRY["created"]}}),
    ],
)
def test_what_holds_no_keys_is_refused_without_showing_it(text: str, tmp_path: Path) -> None:
    with pytest.raises(TokenKeysError):
        TokenKeys.parse(text)
    path = tmp_path / "view-token-keys"
    path.write_text(text)
    with pytest.raises(OperatorError, match="appliance credentials init") as caught:
        TokenKeys.load(path)
    assert caught.value.exit_code == EX_CONFIG
    assert str(path) in str(caught.value)
    assert SECRET.hex()[:8] not in str(caught.value)


def test_a_missing_or_binary_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "view-token-keys"
    with pytest.raises(OperatorError, match="No such file"):
        TokenKeys.load(path)
    path.write_bytes(b"\xff\x00")
    with pytest.raises(OperatorError, match="not ASCII text"):
        TokenKeys.load(path)


def test_a_repr_shows_no_secret() -> None:
    assert SECRET.hex()[:8] not in repr(KEYS)
    assert repr(SECRET)[2:10] not in repr(KEYS)


def test_a_broken_file_stops_the_making_of_credentials(tmp_path: Path) -> None:
    make_missing(tmp_path, None)
    replace_credential(tmp_path / "view-token-keys", "{}")
    with pytest.raises(OperatorError, match="view token keys"):
        make_missing(tmp_path, None)


def test_a_replaced_file_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "view-token-keys"
    replace_credential(path, KEYS.dumps())
    keys = TokenKeyFile(path)
    assert keys() == KEYS
    rotated = KEYS.rotated()
    replace_credential(path, rotated.dumps())
    assert keys() == rotated


@pytest.mark.parametrize("broken", ["{}", None])
def test_a_file_that_breaks_meanwhile_leaves_the_keys_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, broken: str | None
) -> None:
    path = tmp_path / "view-token-keys"
    replace_credential(path, KEYS.dumps())
    keys = TokenKeyFile(path)
    if broken is None:
        path.unlink()
    else:
        replace_credential(path, broken)
    with caplog.at_level(logging.WARNING, logger="appliance"):
        assert [keys(), keys()] == [KEYS, KEYS]
    assert len(caplog.records) == (0 if broken is None else 1)  # once, not for every viewer
    replace_credential(path, KEYS.rotated().dumps())
    assert len(keys().keys) == 2


def test_a_missing_file_starts_no_service(tmp_path: Path) -> None:
    with pytest.raises(OperatorError, match="view token keys"):
        TokenKeyFile(tmp_path / "view-token-keys")
