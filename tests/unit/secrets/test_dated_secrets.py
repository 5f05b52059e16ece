"""Secrets on lines: what stands there, what is good when, and that no refusal shows one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.moment import is_over

HOUR = timedelta(hours=1)


def test_a_line_of_a_first_run_is_a_secret() -> None:
    found = DatedSecrets.parse("abc\n")
    assert (found.newest.text, found.newest.created, found.version) == ("abc", None, 0)
    assert found.dumps() == "abc\n"


def test_a_rotation_reads_back_and_the_old_one_ends() -> None:
    rotated = DatedSecrets.parse("abc").rotated("def", HOUR)
    assert DatedSecrets.parse(rotated.dumps()) == rotated
    now = datetime.now(UTC)
    assert rotated.texts(now) == ("def", "abc")
    assert rotated.texts(now + HOUR) == ("def",)
    assert [item.text for item in rotated.rotated("ghi", timedelta(0)).entries] == ["ghi"]


def test_a_later_rotation_does_not_make_an_old_one_last_longer() -> None:
    once = DatedSecrets.parse("abc").rotated("def", HOUR)
    twice = once.rotated("ghi", 2 * HOUR)
    assert [item.text for item in twice.entries] == ["ghi", "def", "abc"]
    assert twice.entries[2].ends == once.entries[1].ends
    assert twice.version > once.version > 0


def test_a_clock_that_was_set_back_makes_no_older_version() -> None:
    ahead = DatedSecrets.parse("abc created=2999-01-01T00:00:00+00:00")
    assert ahead.rotated("def", HOUR).version > ahead.version


@pytest.mark.parametrize(
    "text",
    ["", "\n\n", "s3cret-s3cret x", "s3cret-s3cret created=yesterday", "s3cr\u00e9t-s3cret", "s3cret " * 600],
)
def test_what_is_none_is_refused_unshown(text: str) -> None:
    with pytest.raises(ValueError, match=r"empty|allowed|visible") as caught:
        DatedSecrets.parse(text)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    ("ends", "over"),
    [
        (None, False),
        ("2999-01-01T00:00:00+00:00", False),
        ("2001-01-01T00:00:00+00:00", True),
        ("2999-01-01T00:00:00", True),
        ("never", True),
    ],
)
def test_an_end_that_is_no_time_is_over(ends: str | None, over: bool) -> None:
    assert is_over(ends) is over
