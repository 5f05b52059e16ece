"""What delivery answers in the control service's place, as problems, and what it tells it of who asks."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Any

import pytest

from .conftest import KID

if TYPE_CHECKING:
    from .conftest import Control, Delivery

PATH = "/api/v1/streams"


def problem(answer: http.client.HTTPResponse, body: bytes) -> dict[str, Any]:
    """The problem that an answer is."""
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Cache-Control"] == "no-store"
    described = dict(json.loads(body))
    assert described["status"] == answer.status
    assert described["title"] == http.client.responses.get(answer.status, "").replace(
        "Request Entity Too Large", "Content Too Large"
    )
    assert described["detail"]
    return described


@pytest.mark.parametrize("path", [PATH, "/api/v1/openapi.json"])
def test_a_body_that_is_too_long_is_a_problem(delivery: Delivery, path: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", delivery.port, timeout=30)
    connection.request("PUT", path, body=bytes(100_000))
    answer = connection.getresponse()
    assert problem(answer, answer.read())["status"] == 413
    connection.close()


@pytest.mark.parametrize("method", ["GET", "DELETE"])
def test_without_the_control_service_that_is_a_problem(
    delivery: Delivery, control: Control, method: str
) -> None:
    control.shutdown()
    control.server_close()
    answer, body = delivery.ask(PATH, method)
    assert "control service" in problem(answer, body)["detail"]
    assert answer.status == 502
    assert delivery.ask(PATH, "HEAD")[0].headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("settings", [{"delivery_unlimited_networks": [], "delivery_api_rate": 1}])
def test_too_much_is_a_problem(delivery: Delivery) -> None:
    answers = [delivery.ask(PATH) for _ in range(6)]
    refused = [(answer, body) for answer, body in answers if answer.status != 200]
    assert refused
    for answer, body in refused:
        assert problem(answer, body)["status"] == 429
        assert answer.headers["Retry-After"] == "1"


@pytest.mark.parametrize("settings", [{"delivery_api_networks": ["192.0.2.0/24"]}])
def test_other_networks_are_told_so(delivery: Delivery) -> None:
    assert problem(*delivery.ask(PATH))["status"] == 403


def test_the_control_service_says_what_an_address_takes(delivery: Delivery) -> None:
    # Python's stand-in knows GET alone, and says so: it was asked.
    assert delivery.ask(PATH, "PATCH")[0].status == 501
    assert delivery.ask("/streams/demo", "PATCH")[0].status == 405


def test_the_bearer_token_reaches_the_api_alone(delivery: Delivery, control: Control) -> None:
    for path in (PATH, f"/hls/demo/keys/{KID}"):
        assert delivery.ask(path, Authorization="Bearer secret")[0].status == 200
    assert [asked.get("Authorization") for asked in control.asked] == ["Bearer secret", None]


def test_the_scheme_is_told_and_not_believed(delivery: Delivery, control: Control) -> None:
    delivery.ask(PATH, X_Forwarded_Proto="https", X_Forwarded_For="127.0.0.9")
    asked = control.asked[-1]
    assert (asked["X-Forwarded-Proto"], asked["X-Forwarded-For"]) == ("http", "127.0.0.1")


@pytest.mark.parametrize(
    "settings",
    [
        {
            "delivery_trusted_proxies": ["127.0.0.1"],
            "delivery_api_networks": ["192.0.2.9"],
            "delivery_dashboard": dashboard,
        }
        for dashboard in (True, False)
    ],
)
def test_a_proxy_in_front_says_that_it_took_https(delivery: Delivery, control: Control) -> None:
    delivery.ask(PATH, X_Forwarded_For="192.0.2.9", X_Forwarded_Proto="https")
    assert control.asked[-1]["X-Forwarded-Proto"] == "https"
