"""Stream names: one pattern, and nothing that can leave it."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.names import (
    STREAM_NAME_PATTERN,
    InvalidStreamNameError,
    is_stream_name,
    parse_stream_name,
    shorten,
    stream_unit,
)


@pytest.mark.parametrize("text", ["demo", "A", "0", "cam-1_b", "x" * 64])
def test_names_within_the_pattern(text: str) -> None:
    assert parse_stream_name(text) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-demo",
        "_demo",
        "a/b",
        "../a",
        "a.b",
        "a b",
        "demo\n",
        "demo\0",
        "ä",
        "x" * 65,
        "%i",
        "$name",
        ">file",
        "٣",
    ],
)
def test_names_outside_the_pattern(text: str) -> None:
    with pytest.raises(InvalidStreamNameError) as refused:
        parse_stream_name(text)
    assert STREAM_NAME_PATTERN in str(refused.value)


@given(st.text())
def test_the_parser_and_the_documented_pattern_agree(text: str) -> None:
    documented = re.fullmatch(STREAM_NAME_PATTERN.removeprefix("^").removesuffix("$"), text) is not None
    assert is_stream_name(text) == documented


def test_the_unit_of_a_stream() -> None:
    assert stream_unit(parse_stream_name("cam-1")) == "stream@cam-1.service"


@given(st.text(max_size=400))
def test_an_untrusted_text_is_shown_printable_and_short(text: str) -> None:
    shown = shorten(text)
    assert shown.isprintable()
    assert shown.isascii()
    assert len(shown) <= 81
