"""The keys of view tokens: their file, their rotation, and a file that is replaced while it is in use."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from appliance.errors import EX_CONFIG, OperatorError
from appliance.secrets.credentials import replace_credential
from appliance.secrets.json_file import MalformedKeysError
from appliance.secrets.making import make_missing
from appliance.secrets.token_keys import TokenKeys

if TYPE_CHECKING:
    from pathlib import Path

BORN = datetime(2026, 1, 1, tzinfo=UTC)
DAY, HOUR, SECOND = timedelta(days=1), timedelta(hours=1), timedelta(seconds=1)
KEYS = TokenKeys.create(BORN)
SECRET = KEYS.keys[KEYS.current].secret
ENTRY = {"secret": SECRET.hex(), "created": "2026-01-01T00:00:00+00:00"}


def edited(**changes: object) -> str:
    return json.dumps({**json.loads(KEYS.dumps()), **changes})


def test_file_round_trip(tmp_path: Path) -> None:
    path = tmp_path / "view-token-keys"
    twice = KEYS.rotated(HOUR)
    path.write_text(twice.dumps())
    assert TokenKeys.load(path) == twice


def test_a_rotation_signs_with_a_new_key_and_keeps_the_old_one() -> None:
    rotated = KEYS.rotated(HOUR, now=BORN + timedelta(days=30))
    assert rotated.current != KEYS.current
    assert rotated.keys[KEYS.current].secret == SECRET
    assert rotated.keys[KEYS.current].retired == BORN + timedelta(days=30)
    assert rotated.keys[rotated.current].retired is None
    assert rotated.keys[rotated.current].secret != SECRET


def test_old_keys_end_after_their_grace_and_the_one_that_signs_stays() -> None:
    rotated = KEYS.rotated(HOUR, now=BORN + DAY)
    old = rotated.keys[KEYS.current]
    assert (old.retired, old.ends) == (BORN + DAY, BORN + DAY + HOUR)
    assert rotated.valid(BORN + DAY + HOUR - SECOND) == rotated
    assert set(rotated.valid(BORN + DAY + HOUR).keys) == {rotated.current}
    # a later rotation does not make it last longer, and forgets what has ended
    again = rotated.rotated(2 * HOUR, now=BORN + DAY + HOUR / 2)
    assert again.keys[KEYS.current].ends == BORN + DAY + HOUR
    assert again.keys[rotated.current].ends == BORN + DAY + 2.5 * HOUR
    assert set(rotated.rotated(HOUR, now=BORN + 9 * DAY).keys) >= {rotated.current}
    assert KEYS.current not in rotated.rotated(HOUR, now=BORN + 9 * DAY).keys


def test_without_grace_the_old_key_ends_at_once() -> None:
    rotated = KEYS.rotated(timedelta(0), now=BORN + DAY)
    assert set(rotated.keys) == {rotated.current}


def test_one_that_was_drawn_has_no_time_and_every_rotation_makes_a_later_one() -> None:
    drawn = TokenKeys.create()
    assert (drawn.version, drawn.created) == (0, None)
    assert TokenKeys.parse(drawn.dumps()) == drawn
    rotated = drawn.rotated(HOUR, now=BORN)
    assert rotated.created == BORN
    assert TokenKeys.parse(rotated.dumps()) == rotated
    assert set(rotated.keys) == {drawn.current, rotated.current}
    assert KEYS.version > drawn.version


def test_a_clock_that_was_set_back_makes_no_older_version() -> None:
    assert KEYS.rotated(HOUR, now=BORN - DAY).version > KEYS.version


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
    with pytest.raises(MalformedKeysError):
        TokenKeys.parse(text)
    path = tmp_path / "view-token-keys"
    path.write_text(text)
    with pytest.raises(OperatorError, match="remove it and run: appliance credentials init") as caught:
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
    with pytest.raises(OperatorError, match="view-token-keys"):
        make_missing(tmp_path, None)
