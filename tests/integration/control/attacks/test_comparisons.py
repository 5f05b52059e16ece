"""How long a comparison of secrets takes tells nothing of them."""

from __future__ import annotations

import hmac
from typing import Any

import pytest
from starlette.requests import Request

from appliance.control.api import bearer
from appliance.control.api.problem import ProblemError
from appliance.names import StreamName
from appliance.secrets import stream_keys


async def test_secrets_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """By the path that is taken: whatever is shown is handed to compare_digest, and nothing else decides."""
    compared: list[Any] = []
    real = hmac.compare_digest

    def watched(one: Any, other: Any) -> bool:
        compared.append((one, other))
        return real(one, other)

    monkeypatch.setattr(hmac, "compare_digest", watched)
    key = stream_keys.draw_key()
    assert not stream_keys.matches(b"pepper", StreamName("demo"), key, "0" * 64)
    assert [other for _, other in compared] == ["0" * 64]

    class Nobody:
        class secrets:  # noqa: N801 - stands for an attribute
            @staticmethod
            def admin_tokens() -> tuple[str, ...]:
                return ("the-secret",)

        class api_tokens:  # noqa: N801 - stands for an attribute
            @staticmethod
            async def find(_: str) -> None:
                return None

    shown = (b"authorization", b"Bearer the-secreX")
    asked = Request({"type": "http", "client": ("127.0.0.1", 4711), "headers": [shown]})
    with pytest.raises(ProblemError):
        await bearer.authorise(asked, Nobody(), "streams:read")  # type: ignore[arg-type]
    assert compared[-1] == (b"the-secreX", b"the-secret")
