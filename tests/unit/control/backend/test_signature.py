"""Signatures: what the published vector says, and everything that must not pass."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from appliance.control.backend.signature import SignatureError, sign, verify
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secret

# Published with Standard Webhooks (its libraries' test "sign function works").
VECTOR = parse_webhook_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
IDENTITY, NOW, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
EXPECTED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="

PLAIN = parse_webhook_secret("a-secret-of-the-customer")


def test_the_published_vector() -> None:
    headers = sign([VECTOR], identity=IDENTITY, timestamp=NOW, body=BODY)
    assert headers["webhook-signature"] == EXPECTED
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == (IDENTITY, str(NOW))
    assert verify([VECTOR], headers, BODY, now=NOW) == IDENTITY


def test_the_platforms_own_header_takes_the_text_as_the_key() -> None:
    for secret in (VECTOR, PLAIN):
        headers = sign([secret], identity=IDENTITY, timestamp=NOW, body=BODY)
        expected = hmac.new(secret.text.encode(), BODY, hashlib.sha256).hexdigest()
        assert headers["X-NGINX-Signature"] == expected


def test_while_secrets_overlap_either_side_may_be_the_first_to_change() -> None:
    old, new = PLAIN, parse_webhook_secret(new_webhook_secret())
    headers = sign([new, old], identity=IDENTITY, timestamp=NOW, body=BODY)
    assert len(headers["webhook-signature"].split()) == 2
    for known in ([old], [new], [new, old]):
        assert verify(known, headers, BODY, now=NOW) == IDENTITY
    assert headers["X-NGINX-Signature"] == hmac.new(new.text.encode(), BODY, hashlib.sha256).hexdigest()
    alone = sign([old], identity=IDENTITY, timestamp=NOW, body=BODY)
    assert verify([new, old], alone, BODY, now=NOW) == IDENTITY


@pytest.mark.parametrize("seconds", [-300, 0, 300])
def test_clocks_may_differ_by_five_minutes(seconds: int) -> None:
    headers = sign([PLAIN], identity=IDENTITY, timestamp=NOW + seconds, body=BODY)
    assert verify([PLAIN], headers, BODY, now=NOW) == IDENTITY


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"webhook-timestamp": str(NOW - 301)}, "more than 300 s"),
        ({"webhook-timestamp": str(NOW + 301)}, "more than 300 s"),
        ({"webhook-timestamp": str(NOW + 1)}, "none of the secrets"),
        ({"webhook-timestamp": "-1"}, "no number"),
        ({"webhook-timestamp": "\u0661"}, "no number"),
        ({"webhook-timestamp": "9" * 5000}, "no number"),
        ({"webhook-id": "msg_another"}, "none of the secrets"),
        ({"webhook-signature": ""}, "none of the secrets"),
        ({"webhook-signature": EXPECTED}, "none of the secrets"),
        ({"webhook-signature": "v1,\u00e9"}, "none of the secrets"),
        ({"webhook-signature": "v1a,AAAA v2,BBBB"}, "none of the secrets"),
    ],
)
def test_what_is_not_signed_or_old_is_refused(changed: dict[str, str], reason: str) -> None:
    headers = {**sign([PLAIN], identity=IDENTITY, timestamp=NOW, body=BODY), **changed}
    with pytest.raises(SignatureError, match=reason):
        verify([PLAIN], headers, BODY, now=NOW)


def test_another_body_and_missing_headers_are_refused() -> None:
    headers = sign([PLAIN], identity=IDENTITY, timestamp=NOW, body=BODY)
    with pytest.raises(SignatureError, match="none of the secrets"):
        verify([PLAIN], headers, BODY + b" ", now=NOW)
    for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
        fewer = {key: value for key, value in headers.items() if key != name}
        with pytest.raises(SignatureError, match=f"{name} is missing"):
            verify([PLAIN], fewer, BODY, now=NOW)


def test_no_secret_shows() -> None:
    assert PLAIN.text not in repr(PLAIN)
    assert "standard_key" not in repr(PLAIN)
