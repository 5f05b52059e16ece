"""nginx-rtmp's callbacks: decided is what nginx publishes, whatever the encoder appends."""

from __future__ import annotations

from urllib.parse import quote, urlencode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.callback import (
    MODULE_FIELDS,
    Callback,
    MalformedCallbackError,
    about,
    is_loopback,
    parse_callback,
)

FIELDS = {
    "app": "live",
    "addr": "192.0.2.7",
    "clientid": "12",
    "call": "publish",
    "name": "B",
    "type": "live",
}


def test_the_fields_of_the_module_and_the_arguments_of_the_encoder() -> None:
    callback = parse_callback(urlencode(FIELDS).encode() + b"&key=K&key=L&x=1")
    assert callback == Callback("live", "B", "192.0.2.7", "12", {"key": "K", "x": "1"})


@pytest.mark.parametrize("field", sorted(set(FIELDS)))
def test_a_repeated_field_is_refused_however_it_is_written(field: str) -> None:
    written = (field, "".join(f"%{ord(letter):02x}" for letter in field), f"%{ord(field[0]):02X}{field[1:]}")
    for name in written:
        with pytest.raises(MalformedCallbackError, match=field):
            parse_callback(urlencode(FIELDS).encode() + f"&{name}=A".encode())


@given(st.binary(max_size=300))
def test_no_argument_changes_what_the_module_said(arguments: bytes) -> None:
    body = urlencode(FIELDS).encode() + b"&" + arguments
    try:
        callback = parse_callback(body)
    except MalformedCallbackError:
        return
    assert (callback.app, callback.name, callback.addr, callback.client) == ("live", "B", "192.0.2.7", "12")
    assert not MODULE_FIELDS & callback.arguments.keys()


@given(st.text(max_size=60))
def test_the_name_comes_out_as_nginx_has_it(name: str) -> None:
    assert parse_callback(f"app=live&name={quote(name)}&type=live".encode()).name == name


def test_too_many_fields_are_refused() -> None:
    with pytest.raises(MalformedCallbackError, match="too many"):
        parse_callback(b"&".join(b"a%d=1" % number for number in range(200)))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (b"addr=192.0.2.7&name=de", {"client_ip": "192.0.2.7"}),  # it may be cut
        (b"addr=192.0.2.7&name=demo&", {"client_ip": "192.0.2.7", "stream": "demo"}),
        (b"name=demo&name=other&addr=a&addr=b&", {"client_ip": "a", "stream": "demo"}),
        (b"x" * 20_000, {"client_ip": "peer"}),
        (b"a=1&" * 30 + b"name=demo&", {"client_ip": "peer"}),
        (b"n%61me=%0a%ff&", {"client_ip": "peer", "stream": "'\\n\\ufffd'"}),
        (b"", {"client_ip": "peer"}),
    ],
)
def test_of_what_is_no_callback_it_is_told_whose_it_is(body: bytes, named: dict[str, str]) -> None:
    assert about(body, "peer") == named


@given(st.binary(max_size=300))
def test_whatever_it_is_the_log_has_a_line(body: bytes) -> None:
    assert "client_ip" in about(body, "peer")


@pytest.mark.parametrize(
    ("address", "loopback"),
    [
        ("127.0.0.1", True),
        ("::1", True),
        ("127.9.9.9", True),
        ("unix:", True),
        ("192.0.2.7", False),
        ("", False),
        ("127.0.0.1.evil.example", False),
        ("localhost", False),
    ],
)
def test_loopback(address: str, loopback: bool) -> None:
    assert is_loopback(address) is loopback
