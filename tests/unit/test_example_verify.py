"""The helper for backends accepts what we sign, and nothing else; it needs nothing but Python."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from appliance.control.backend.signature import sign
from appliance.secrets.webhook_secret import new_webhook_secret, parse_webhook_secret
from examples.backend.verify import NotFromTheStreamingHostError, verify, verify_body

NOW, BODY = 1_700_000_000, b'{"type": "publish.started"}'
SECRETS = ["a-secret-of-the-customer", new_webhook_secret()]


@pytest.mark.parametrize("secret", SECRETS)
def test_accepts_what_we_sign(secret: str) -> None:
    headers = sign([parse_webhook_secret(secret)], identity="evt_1", timestamp=NOW, body=BODY)
    assert verify(headers, BODY, [secret], now=NOW + 299) == "evt_1"
    assert verify_body(headers["X-NGINX-Signature"], BODY, secret)


def test_both_sides_may_overlap() -> None:
    new, old = SECRETS
    both = sign(
        [parse_webhook_secret(new), parse_webhook_secret(old)], identity="1", timestamp=NOW, body=BODY
    )
    for known in ([new], [old], [old, new]):
        assert verify(both, BODY, known, now=NOW) == "1"


@pytest.mark.parametrize("secret", SECRETS)
def test_refuses_everything_else(secret: str) -> None:
    headers = sign([parse_webhook_secret(secret)], identity="evt_1", timestamp=NOW, body=BODY)
    wrong: list[tuple[dict[str, str], bytes, float]] = [
        (headers, BODY + b" ", NOW),
        (headers, BODY, NOW + 301),
        (headers, BODY, NOW - 301),
        ({**headers, "webhook-id": "evt_2"}, BODY, NOW),
        ({**headers, "webhook-timestamp": str(NOW + 1)}, BODY, NOW),
        ({**headers, "webhook-timestamp": "soon"}, BODY, NOW),
        ({**headers, "webhook-signature": "v1, \u00e9"}, BODY, NOW),
        ({}, BODY, NOW),
    ]
    for given, body, now in wrong:
        with pytest.raises(NotFromTheStreamingHostError):
            verify(given, body, [secret], now=now)
    with pytest.raises(NotFromTheStreamingHostError):
        verify(headers, BODY, ["another-secret-of-ours"], now=NOW)
    assert not verify_body(headers["X-NGINX-Signature"], BODY + b" ", secret)
    assert not verify_body("\u00e9", BODY, secret)


def test_it_needs_nothing_but_python() -> None:
    """`-I -S`: neither our packages nor anybody's."""
    file = Path(__file__).resolve().parents[2] / "examples/backend/verify.py"
    program = f"import runpy; runpy.run_path({str(file)!r})['verify']"
    subprocess.run([sys.executable, "-I", "-S", "-c", program], check=True)
