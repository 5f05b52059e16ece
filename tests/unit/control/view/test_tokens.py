"""View tokens: what they say is believed only when they are ours, whole, and of this time."""

from __future__ import annotations

import base64
import contextlib
import ipaddress
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from hypothesis import given
from hypothesis import strategies as st

from appliance.control.view.tokens import MAX_LENGTH, TokenRefusedError, ViewToken, issue, read, unverified
from appliance.names import StreamName, is_stream_name
from appliance.secrets.token_keys import TokenKeys

NOW = 1_800_000_000.0
KEYS = TokenKeys.create(datetime(2026, 1, 1, tzinfo=UTC))
SECRET = KEYS.keys[KEYS.current].secret
CLAIMS: dict[str, Any] = {
    "iss": "appliance",
    "aud": "view",
    "stream": "demo",
    "iat": int(NOW),
    "exp": int(NOW) + 600,
}


def signed(secret: bytes = SECRET, header: dict[str, Any] | None = None, **changes: Any) -> str:
    """A token as CLAIMS with `changes` make it; None takes a claim away."""
    claims = {name: value for name, value in {**CLAIMS, **changes}.items() if value is not None}
    # By hand: the library refuses to write some of what a forger would.
    parts = [{"alg": "HS256", "kid": KEYS.current, "typ": "JWT", **(header or {})}, claims]
    text = b".".join(encoded(json.dumps(part).encode()) for part in parts)
    signature = jwt.get_algorithm_by_name("HS256").sign(text, secret)
    return (text + b"." + encoded(signature)).decode()


def encoded(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")


def accept(text: str, keys: TokenKeys = KEYS, now: float = NOW) -> ViewToken:
    return read(text, keys, now=now, max_seconds=3600)


def refused(text: str, **options: Any) -> str:
    with pytest.raises(TokenRefusedError) as caught:
        accept(text, **options)
    assert caught.value.status == 401
    return caught.value.reason


FULL = ViewToken(
    stream="demo",
    expires=NOW + 600,
    viewer="anna",
    session="tv",
    network=ipaddress.ip_network("192.0.2.0/24"),
    entitlement="match-7",
    paid_until=NOW + 300,
)


def test_what_is_issued_is_read() -> None:
    text = issue(KEYS, FULL, now=NOW)
    assert jwt.get_unverified_header(text) == {"alg": "HS256", "kid": KEYS.current, "typ": "JWT"}
    assert replace(accept(text), text="") == FULL
    least = ViewToken(stream="*", expires=NOW + 1)
    assert replace(accept(issue(KEYS, least, now=NOW)), text="") == least


def test_a_token_outlives_the_rotation_of_its_key_and_ends_with_it() -> None:
    text = issue(KEYS, FULL, now=NOW)
    rotated = KEYS.rotated(timedelta(hours=1))
    assert accept(text, rotated).stream == "demo"
    assert jwt.get_unverified_header(issue(rotated, FULL, now=NOW))["kid"] == rotated.current
    assert "unknown" in refused(text, keys=rotated.valid(datetime.now(UTC) + timedelta(hours=2)))


def test_a_token_that_would_be_too_long_is_not_issued() -> None:
    with pytest.raises(ValueError, match="2048"):
        issue(KEYS, replace(FULL, viewer="x" * 2000), now=NOW)


def test_the_algorithm_is_ours() -> None:
    none = f"{encoded(json.dumps({'alg': 'none', 'kid': KEYS.current}).encode()).decode()}."
    assert "'none'" in refused(f"{none}{signed().split('.')[1]}.")
    others: tuple[object, ...] = ("None", "hs256", "HS512", "RS256", "", 1, None, ["HS256"], {})
    for algorithm in others:
        assert "algorithm" in refused(signed(header={"alg": algorithm}))
    strong = jwt.encode(CLAIMS, SECRET * 2, algorithm="HS512", headers={"kid": KEYS.current})
    assert "'HS512'" in refused(strong)


def test_a_public_key_is_no_secret() -> None:
    """Key confusion: neither a token signed by a key pair, nor an HMAC that is keyed with its public half."""
    pair = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    assert "'RS256'" in refused(jwt.encode(CLAIMS, pair, algorithm="RS256", headers={"kid": KEYS.current}))
    public = pair.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    assert "ignature" in refused(signed(public))
    assert "'RS256'" in refused(signed(header={"alg": "RS256"}))


@pytest.mark.parametrize("kid", ["0" * 16, "", None, 1, ["x"], {}])
def test_an_unknown_key_is_refused(kid: object) -> None:
    refused(signed(header={"kid": kid}))


def test_a_key_that_travels_in_the_token_is_not_used() -> None:
    other = TokenKeys.create().keys
    [secret] = [key.secret for key in other.values()]
    carried = {"kty": "oct", "k": encoded(secret).decode()}
    assert "ignature" in refused(signed(secret, header={"jwk": carried, "jku": "https://x.example"}))


@pytest.mark.parametrize("header", [{"crit": ["exp"]}, {"crit": []}, {"crit": ["b64"], "b64": False}])
def test_what_must_be_understood_and_is_not_is_refused(header: dict[str, Any]) -> None:
    refused(signed(header=header))


def test_every_changed_character_is_noticed() -> None:
    text = signed(sub="anna")
    for place in range(len(text) - 1):  # the last one has bits that mean nothing
        other = "A" if text[place] != "A" else "B"
        refused(text[:place] + other + text[place + 1 :])


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"iss": "other"}, "ssuer"),
        ({"iss": None}, "iss"),
        ({"iss": ["appliance"]}, "ss"),
        ({"aud": "publish"}, "udience"),
        ({"aud": None}, "aud"),
        ({"aud": ["view", "other"]}, "strict"),
        ({"exp": None}, "exp"),
        ({"exp": int(NOW)}, "expired 0 s ago"),
        ({"exp": int(NOW) - 100}, "expired 100 s ago"),
        ({"exp": int(NOW) + 3700}, "allowed are 3600"),
        ({"exp": "tomorrow"}, "exp is no time"),
        ({"exp": str(int(NOW) + 60)}, "exp is no time"),
        ({"exp": True}, "exp is no time"),
        ({"exp": float("nan")}, "exp is no time"),
        ({"exp": float("inf")}, "exp is no time"),
        ({"exp": 10**400}, "exp is no time"),
        ({"exp": -1}, "exp is no time"),
        ({"nbf": int(NOW) + 100}, "nbf is 100 s ahead"),
        ({"nbf": "now"}, "nbf is no time"),
        ({"iat": int(NOW) + 100}, "iat is 100 s ahead"),
        ({"iat": []}, "iat is no time"),
        ({"stream": None}, "stream"),
        ({"stream": ""}, "stream is"),
        ({"stream": "../x"}, "stream is"),
        ({"stream": ["demo"]}, "stream is"),
        ({"stream": "demo\n"}, "stream is"),
        ({"sub": 1}, "ub"),
        ({"sub": ""}, "sub is no text"),
        ({"sub": "x" * 129}, "sub is no text"),
        ({"sub": "\ud800"}, "sub is no text"),
        ({"sid": {}}, "sid is no text"),
        ({"jti": 1}, "ID"),
        ({"ip": "somewhere"}, "ip is no address"),
        ({"ip": 1}, "ip is no address"),
        ({"ip": "192.0.2.0/33"}, "ip is no address"),
        ({"ent": 7}, "ent is no text"),
        ({"ent_exp": "never"}, "ent_exp is no time"),
    ],
)
def test_a_token_of_ours_that_does_not_hold_is_refused(changes: dict[str, Any], reason: str) -> None:
    assert reason in refused(signed(**changes))


@pytest.mark.parametrize(("claim", "ahead"), [("nbf", 20), ("iat", 20), ("exp", 3620)])
def test_clocks_may_differ_a_little(claim: str, ahead: int) -> None:
    changes: dict[str, Any] = {claim: int(NOW) + ahead}
    assert accept(signed(**changes)).stream == "demo"


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "..",
        "...",
        "a.b",
        "a.b.c",
        "e30.e30.",
        f"{signed()}\n",
        f" {signed()}",
        f"{signed()}=",
        f"{signed()}.x",
        signed().replace(".", "%2e"),
        "\N{LATIN SMALL LETTER E WITH ACUTE}.b.c",
        "\udcff.\udcff.\udcff",
        *(f"{encoded(b'[' * 1000).decode()}.{encoded(raw).decode()}.c" for raw in (b"{}", b"[" * 300)),
        f"{signed().split('.')[0]}.{encoded(b'[' * 1100).decode()}.c",
        f"{signed().split('.')[0]}.{encoded(b'9' * 1100).decode()}.c",
        f"{encoded(b'[]').decode()}.e30.c",
    ],
)
def test_what_is_no_token_is_refused(text: str) -> None:
    refused(text)


def test_nothing_too_long_is_decoded() -> None:
    long = signed(padding="x" * MAX_LENGTH)
    assert f"allowed are {MAX_LENGTH}" in refused(long)
    room = MAX_LENGTH - len(signed(padding=""))
    assert accept(signed(padding="x" * (room * 3 // 4))).stream == "demo"


@given(st.text() | st.binary().map(lambda raw: raw.decode("latin-1")))
def test_no_text_is_accepted_or_raises_anything_else(text: str) -> None:
    refused(text)


@given(st.binary(max_size=400), st.binary(max_size=400), st.binary(max_size=64))
def test_no_three_parts_are_accepted(header: bytes, claims: bytes, signature: bytes) -> None:
    refused(b".".join(encoded(part) for part in (header, claims, signature)).decode())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(st.dictionaries(st.sampled_from(["alg", "kid", "typ", "crit", "b64", "jwk", "zip"]), JSON))
def test_no_header_makes_a_foreign_signature_ours(header: dict[str, Any]) -> None:
    refused(signed(b"another key of 32 bytes, or more", header=header))


@given(st.dictionaries(st.sampled_from([*CLAIMS, "nbf", "sub", "sid", "ip", "ent", "ent_exp"]), JSON))
def test_any_claims_of_ours_are_read_or_refused(claims: dict[str, Any]) -> None:
    """Whatever a faulty issuer signs: no other exception, and what is read has the form it promises."""
    with contextlib.suppress(TokenRefusedError):
        token = accept(signed(**claims))
        assert token.expires > NOW
        assert token.stream == "*" or is_stream_name(token.stream)


@pytest.mark.parametrize(
    ("changes", "stream", "paid", "status"),
    [
        ({}, "demo", False, None),
        ({"stream": "*"}, "other", False, None),
        ({}, "other", False, 403),
        ({}, "demo2", False, 403),
        ({}, "Demo", False, 403),
        ({"ent": "match"}, "demo", True, None),
        ({"ent": "match", "ent_exp": int(NOW) + 1}, "demo", True, None),
        ({}, "demo", True, 402),
        ({"ent_exp": int(NOW) + 1}, "demo", True, 402),
        ({"ent": "match", "ent_exp": int(NOW)}, "demo", True, 402),
        ({"ent": "match", "ent_exp": int(NOW) - 9}, "demo", False, 402),
        ({"ent_exp": int(NOW)}, "demo", False, 402),
        ({"ent_exp": 0}, "other", True, 403),
    ],
)
def test_stream_and_entitlement(
    *, changes: dict[str, Any], stream: str, paid: bool, status: int | None
) -> None:
    token = accept(signed(**changes))
    if status is None:
        token.permit(StreamName(stream), now=NOW, needs_entitlement=paid)
        return
    with pytest.raises(TokenRefusedError) as caught:
        token.permit(StreamName(stream), now=NOW, needs_entitlement=paid)
    assert caught.value.status == status


@pytest.mark.parametrize(
    ("ip", "address", "good"),
    [
        (None, "", True),
        (None, "203.0.113.9", True),
        ("192.0.2.7", "192.0.2.7", True),
        ("192.0.2.7", "192.0.2.8", False),
        ("192.0.2.7", "::ffff:192.0.2.7", True),
        ("192.0.2.0/24", "192.0.2.200", True),
        ("192.0.2.9/24", "192.0.2.200", True),
        ("192.0.2.0/24", "192.0.3.1", False),
        ("192.0.2.0/24", "2001:db8::1", False),
        ("2001:db8::/32", "2001:db8:1::9", True),
        ("2001:db8::/32", "192.0.2.7", False),
        ("192.0.2.7", "", False),
        ("192.0.2.7", "unix:", False),
        ("0.0.0.0/0", "192.0.2.7, 198.51.100.1", False),
    ],
)
def test_addresses(ip: str | None, address: str, good: bool) -> None:
    token = accept(signed(ip=ip))
    if good:
        token.permit_address(address)
        return
    with pytest.raises(TokenRefusedError) as caught:
        token.permit_address(address)
    assert caught.value.status == 403


def test_a_reason_holds_neither_token_nor_secret() -> None:
    text = signed(exp=1)
    for reason in (refused(text), refused(signed(b"x" * 32)), refused(text + "x" * MAX_LENGTH)):
        assert text[:20] not in reason
        assert SECRET.hex()[:8] not in reason


def test_the_digest_is_of_what_is_signed() -> None:
    token = accept(signed())
    assert token.digest == accept(signed()).digest
    assert token.digest != accept(signed(sid="2")).digest
    assert token.digest not in signed()


def test_a_token_can_be_looked_at_without_being_believed() -> None:
    header, claims = unverified(signed(b"another key of 32 bytes, or more", exp=1))
    assert (header["kid"], claims["exp"]) == (KEYS.current, 1)
    with pytest.raises(TokenRefusedError):
        unverified("a.b.c")
