"""A backend that somebody else has taken over, and encoders that write into its questions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.integration.control.attacks.answers import SOMEBODY
from tests.support.stub_backend import StubBackend, answer

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site


@pytest.fixture
def settings(settings: dict[str, Any], backend: StubBackend) -> dict[str, Any]:
    return {
        **settings,
        "http_callback_url": backend.url,
        "callback_seconds": 0.5,
        "callback_attempts": 1,
        "rtmp_play": True,
        "view_policy": "open",  # nobody plays over RTMP where a token is needed
    }


async def test_a_location_is_followed_nowhere_and_passed_on_to_nobody(
    site: Site, backend: StubBackend
) -> None:
    """nginx-rtmp would relay to where a Location points."""
    backend.replies = [answer(200, b"{}", "Location: rtmp://203.0.113.9/live")]
    answered = await site.ask("publish", "demo")
    assert (answered.status_code, "location" in answered.headers) == (200, False)
    tried = [
        ("publish", 302, "rtmp://203.0.113.9/live"),
        ("play", 301, "//203.0.113.9/"),
        ("publish", 307, f"{backend.url}/other"),
    ]
    for path, status, location in tried:
        backend.replies = [answer(status, b"", f"Location: {location}")]
        answered = await site.ask(path, "second")
        assert (answered.status_code, "location" in answered.headers) == (503, False)
    assert {request.path for request in backend.requests} <= {"/auth/publish", "/auth/play", "/events"}


async def test_what_an_encoder_says_cannot_add_to_the_question(site: Site, backend: StubBackend) -> None:
    client = "1\r\nX-Evil: 1&name=other&"
    answered = await site.ask("publish", "demo", client=client, addr=f"{SOMEBODY}&name=other\r\nX-Evil: 1")
    assert answered.status_code == 200
    [question] = [request for request in backend.requests if request.path == "/auth/publish"]
    assert "x-evil" not in question.headers
    assert question.body.count(b"name=") == 1
    assert b"name%3Dother" in question.body
