"""What a backend may say beside its yes."""

from __future__ import annotations

import pytest

from appliance.control.backend.grant import Grant, UnreadableGrantError


@pytest.mark.parametrize(
    "body", [b"", b"OK", b"[]", b"null", b"[" * 10_000, b'{"status": "allowed"}', b"\xff"]
)
def test_nothing_need_be_said(body: bytes) -> None:
    assert Grant.read(body, now=0) == Grant()


def test_what_is_said_counts() -> None:
    grant = Grant.read(b'{"sub": "anna", "expires_in": 60.5, "max_sessions": 0, "x": 1}', now=1000)
    assert grant == Grant(viewer="anna", expires=1060.5, max_sessions=0)
    assert Grant.parse(grant.dumps()) == grant
    assert Grant.parse(Grant().dumps()) == Grant()


@pytest.mark.parametrize(
    "member",
    ['"sub": 1', '"sub": ""', '"expires_in": "60"', '"expires_in": -1', '"expires_in": NaN',
     '"max_sessions": 1.5', '"max_sessions": true', f'"sub": "{"x" * 129}"'],
)  # fmt: skip
def test_what_cannot_be_read_is_no_yes(member: str) -> None:
    with pytest.raises(UnreadableGrantError, match=member.split('"')[1]):
        Grant.read(f"{{{member}}}".encode(), now=0)


@pytest.mark.parametrize(
    "body",
    [b'{"expires_in": 60, "max_sess', b" \n{", b'\xef\xbb\xbf{"expires_in": 60', b'{"sub": "\xff"}',
     b'{"x": ' + b"[" * 10_000],
)  # fmt: skip
def test_an_object_that_broke_off_is_no_yes(body: bytes) -> None:
    with pytest.raises(UnreadableGrantError, match="cannot be read"):
        Grant.read(body, now=0)


@pytest.mark.parametrize("text", ["", "{}", "[1]", "null", '["anna", "soon", 1]'])
def test_what_was_kept_by_somebody_else_is_none_of_ours(text: str) -> None:
    assert Grant.parse(text) is None
