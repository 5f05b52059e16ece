"""Viewers without right: bad tokens, and keys that are not there."""

from __future__ import annotations

import base64
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from appliance.secrets.token_keys import TokenKeys

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

    from tests.integration.control.conftest import Site
from tests.integration.control.attacks.answers import SOMEBODY, seen


@pytest.fixture
def keys(site: Site, tmp_path: Path) -> TokenKeys:
    """What the service signs with."""
    assert site.control.process is not None
    return TokenKeys.load(tmp_path / "credentials" / "view-token-keys")


def signed(claims: dict[str, Any], header: dict[str, Any], secret: bytes, algorithm: str = "sha256") -> str:
    """A token with any header, as no library would make it."""

    def encode(data: bytes) -> str:
        return base64.urlsafe_b64encode(data).decode().rstrip("=")

    text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{text}.{encode(hmac.new(secret, text.encode(), algorithm).digest())}"


async def test_every_bad_token_is_the_same_to_who_shows_it(site: Site, keys: TokenKeys) -> None:
    now = int(time.time())
    claims = {"iss": "appliance", "aud": "view", "exp": now + 600, "iat": now, "stream": "demo"}
    secret, header = keys.keys[keys.current].secret, {"alg": "HS256", "kid": keys.current}
    good = signed(claims, header, secret)
    foreign = TokenKeys.create()
    public = b"-----BEGIN PUBLIC KEY-----\nMFww\n-----END PUBLIC KEY-----\n"
    tokens = {
        "none": "",
        "no token": "a.b.c",
        "alg none": signed(claims, {**header, "alg": "none"}, secret).rpartition(".")[0] + ".",
        "alg None, signed": signed(claims, {**header, "alg": "None"}, secret),
        "another algorithm, our key": signed(claims, {**header, "alg": "HS512"}, secret, "sha512"),
        "key confusion": signed(claims, {**header, "alg": "RS256"}, public),
        "a key of its own": signed(claims, {**header, "jwk": {"kty": "oct", "k": "AAAA"}}, bytes(3)),
        "an empty key": signed(claims, header, b""),
        "foreign": signed(claims, {**header, "kid": foreign.current}, foreign.keys[foreign.current].secret),
        "foreign with our kid": signed(claims, header, foreign.keys[foreign.current].secret),
        "a path for a kid": signed(claims, {**header, "kid": "../../etc/passwd"}, b"root"),
        "stale": signed({**claims, "exp": now - 1}, header, secret),
        "for ever": signed({**claims, "exp": now + 10 * 365 * 86_400}, header, secret),
        "not yet": signed({**claims, "nbf": now + 600}, header, secret),
        "for the API": signed({**claims, "aud": "api"}, header, secret),
        "of another issuer": signed({**claims, "iss": "elsewhere"}, header, secret),
        "cut": good[:-1],
    }

    async def view(stream: str, token: str) -> httpx.Response:
        headers = {"X-Stream": stream, "X-View-Token": token, "X-Real-IP": SOMEBODY}
        return await site.http.get("/auth/view", headers=headers)

    assert (await view("demo", good)).status_code == 204
    await site.publish("demo")
    expected = seen(await view("demo", ""))
    assert expected[0] == 401
    for what, token in tokens.items():
        for stream in ("demo", "nothing"):
            assert seen(await view(stream, token)) == expected, (what, stream)
    # A good token for another stream says 403, whether or not there is the one that is asked for.
    answers = [seen(await view(stream, good)) for stream in ("second", "nothing")]
    assert answers[0] == answers[1]
    assert answers[0][0] == 403
    log = site.control.log.read_text()
    assert good.rpartition(".")[2] not in log


async def test_keys_that_are_not_there_are_all_alike(site: Site) -> None:
    await site.publish("demo")
    kid = "9-" + "0f" * 16
    answers = [seen(await site.http.get(f"/keys/{stream}/{kid}")) for stream in ("demo", "nothing", "a.b")]
    assert answers[0][0] == 404
    assert answers.count(answers[0]) == 3
