"""AMF0: what is written is read again, and broken bytes are refused, never a crash."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.rtmp import amf

_values: st.SearchStrategy[amf.AmfValue] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False) | st.text(max_size=40),
    lambda inner: st.dictionaries(st.text(min_size=1, max_size=10), inner, max_size=4),
    max_leaves=8,
)


@given(st.lists(_values, max_size=5))
def test_what_is_encoded_is_decoded(values: list[amf.AmfValue]) -> None:
    assert amf.decode(amf.encode(*values)) == values


@given(st.binary(max_size=200))
def test_any_bytes_are_values_or_an_error(data: bytes) -> None:
    try:
        amf.decode(data)
    except amf.AmfError:
        return


def test_connect_as_the_specification_has_it() -> None:
    assert amf.encode("connect", 1.0, {"app": "live"}).hex() == (
        "020007636f6e6e656374" "003ff0000000000000" "03" "0003617070" "0200046c697665" "000009"
    )  # fmt: skip


def test_ecma_arrays_strict_arrays_and_dates_are_read() -> None:
    array = amf.encode_ecma_array({"width": 1280.0})
    date = b"\x0b" + amf.encode(5.0)[1:] + b"\0\0"
    strict = b"\x0a\0\0\0\x02" + amf.encode(1.0, "two")
    assert amf.decode(array + date + strict) == [{"width": 1280.0}, 5.0, [1.0, "two"]]


def test_latin_1_letters_end_no_stream() -> None:
    assert amf.decode(b"\x02\x00\x02\xe4b") == ["�b"]


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00", "cut off"),
        (b"\x0a\xff\xff\xff\xff", "array of 4294967295"),
        (b"\x11", "type 0x11"),
        (b"\x03\x00\x01a" * 40, "nested deeper than 16"),
    ],
)
def test_refusals_name_the_reason(data: bytes, reason: str) -> None:
    with pytest.raises(amf.AmfError, match=reason):
        amf.decode(data)
