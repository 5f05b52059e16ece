"""What was verified is remembered for as long as it holds, and no longer."""

from __future__ import annotations

from collections.abc import Callable
from unittest.mock import patch

import pytest

from appliance.control.view import verified
from appliance.control.view.tokens import TokenRefusedError, ViewToken, issue
from appliance.control.view.verified import VerifiedTokens
from appliance.secrets.token_keys import TokenKeys

NOW = 1_000_000.0


class Holder:
    """Keys that a test exchanges."""

    def __init__(self) -> None:
        self.keys = TokenKeys.create()

    def __call__(self) -> TokenKeys:
        return self.keys


@pytest.fixture
def holder() -> Holder:
    return Holder()


@pytest.fixture
def tokens(holder: Holder) -> VerifiedTokens:
    return VerifiedTokens(holder, 3600, capacity=2)


def token(holder: Callable[[], TokenKeys], seconds: float = 60, viewer: str = "anna") -> str:
    return issue(holder(), ViewToken(stream="demo", expires=NOW + seconds, viewer=viewer), now=NOW)


def test_a_signature_is_verified_once(holder: Holder, tokens: VerifiedTokens) -> None:
    text = token(holder)
    first = tokens.read(text, now=NOW)
    with patch.object(verified, "read", side_effect=AssertionError):
        assert tokens.read(text, now=NOW + 59) is first


def test_a_token_that_was_good_ends(holder: Holder, tokens: VerifiedTokens) -> None:
    text = token(holder)
    tokens.read(text, now=NOW)
    with pytest.raises(TokenRefusedError, match="expired"):
        tokens.read(text, now=NOW + 60)


def test_by_a_clock_that_was_set_back_it_is_too_early(holder: Holder, tokens: VerifiedTokens) -> None:
    text = token(holder)
    tokens.read(text, now=NOW)
    with pytest.raises(TokenRefusedError, match="not valid yet"):
        tokens.read(text, now=NOW - 3000)


def test_a_key_that_was_taken_out_signs_nothing_any_more(holder: Holder, tokens: VerifiedTokens) -> None:
    text = token(holder)
    tokens.read(text, now=NOW)
    holder.keys = TokenKeys.create()
    with pytest.raises(TokenRefusedError, match="unknown"):
        tokens.read(text, now=NOW)


def test_what_is_refused_is_not_remembered(holder: Holder, tokens: VerifiedTokens) -> None:
    text = token(holder)[:-4] + "AAAA"
    for _ in range(2):
        with pytest.raises(TokenRefusedError):
            tokens.read(text, now=NOW)


def test_the_oldest_is_forgotten(holder: Holder, tokens: VerifiedTokens) -> None:
    texts = [token(holder, viewer=name) for name in ("anna", "bert", "cleo")]
    for text in texts:
        tokens.read(text, now=NOW)
    with patch.object(verified, "read", side_effect=AssertionError):
        tokens.read(texts[2], now=NOW)
        with pytest.raises(AssertionError):
            tokens.read(texts[0], now=NOW)
