"""Reading a status that somebody else has written, or broken."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from appliance.media.status_reading import FRESH_S, Reading, read_status, streams_on_disk
from tests.support import status_file

if TYPE_CHECKING:
    from pathlib import Path

NOW = 1_700_000_000.0


def test_what_is_of_the_wrong_kind_is_not_there() -> None:
    broken = Reading(
        json.loads('{"a": NaN, "b": true, "c": [1, {"d": 2}], "e": "x", "f": 1' + "0" * 400 + "}")
    )
    assert [broken.number(key) for key in "abcef"] == [None] * 5
    assert [broken.text(key) for key in "abcf"] == [None] * 4
    assert broken.number("e", "deeper") is None
    assert [item.number("d") for item in broken.items("c")] == [2.0]
    assert broken.items("e") == []
    assert [broken.flag(key) for key in "be"] == [True, False]
    assert broken.time("e") is None


def test_no_control_character_reaches_a_terminal() -> None:
    assert Reading({"reason": "a\x1b[2Jb\nc"}).text("reason") == "a?[2Jb?c"


def test_a_status_is_fresh_for_as_long_as_its_process_may_be_late() -> None:
    status = Reading({"updated": status_file.iso(NOW)})
    assert status.fresh(NOW + FRESH_S)
    assert not status.fresh(NOW + FRESH_S + 0.1)
    assert not Reading({}).fresh(NOW)
    assert status.age(NOW - 10, "updated") == 0


@pytest.mark.parametrize(
    "text", ["", "[]", "{", "null", "[" * 100_000, '{"a": 1' + "0" * 5000 + "}", "\udcff"]
)
def test_what_is_no_status_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "status.json").write_bytes(text.encode(errors="surrogateescape"))
    assert read_status(tmp_path) is None


def test_no_link_is_followed(tmp_path: Path) -> None:
    status_file.put(tmp_path, status_file.content(NOW))
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "status.json").symlink_to(tmp_path / "demo" / "status.json")
    assert read_status(tmp_path / "demo") is not None
    assert read_status(tmp_path / "other") is None


def test_only_names_of_streams_are_streams(tmp_path: Path) -> None:
    for name in ("b", "a", ".hidden", "lost+found"):
        (tmp_path / name).mkdir()
    (tmp_path / "file").touch()
    assert streams_on_disk(tmp_path) == ["a", "b"]
    assert streams_on_disk(tmp_path / "none") == []
