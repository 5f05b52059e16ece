"""What the audit log says, as the dashboard tells it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import pytest

from appliance.control.audit import record
from appliance.control.dashboard.recent import Recent

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def recent() -> Iterator[Recent]:
    handler = Recent("here")
    log = logging.getLogger("appliance")
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.mark.parametrize(
    ("event", "fields", "level", "text"),
    [
        (
            "publish",
            {"verdict": "allowed", "client_ip": "192.0.2.7"},
            "info",
            "A publisher at 192.0.2.7 was let in",
        ),
        (
            "publish",
            {"verdict": "refused", "client_ip": "192.0.2.7", "reason": "no key was shown"},
            "warning",
            "A publisher at 192.0.2.7 was refused: no key was shown",
        ),
        ("drop", {"reason": "a key was revoked", "connections": "1"}, "info", "Dropped: a key was revoked"),
        (
            "dashboard",
            {"action": "revoke key", "operator": "anna", "verdict": "allowed", "key": "ab12"},
            "info",
            "Operator anna: revoke key ab12",
        ),
        (
            "dashboard",
            {"action": "sign in", "operator": "eve: x", "verdict": "refused", "client_ip": "::1"},
            "warning",
            "Somebody at ::1 was not let in to the dashboard",
        ),
        (
            "api",
            {"operation": "putStream", "asked_by": "admin", "verdict": "refused", "reason": "no"},
            "warning",
            "API: putStream by admin, refused: no",
        ),
    ],
)
def test_is_told_in_words(recent: Recent, event: str, fields: dict[str, Any], level: str, text: str) -> None:
    record(event, stream="demo", **fields)
    [told] = recent.take()
    assert (told.host, told.stream, told.level, told.text) == ("here", "demo", level, text)
    assert recent.take() == []


def test_what_nobody_needs_to_see_is_left_out(recent: Recent) -> None:
    record("view", stream="demo", verdict="allowed")
    record("api", operation="listStreams", asked_by="admin", verdict="allowed")
    record("publish", stream="demo", reason="the backend's last word")
    record("publish_done", stream="demo", released=False)
    record("secrets", action="refused")  # with other fields than most of its kind
    logging.getLogger("appliance").warning("plain")
    assert recent.take() == []


def test_a_flood_is_one_line_and_the_newest_stay(recent: Recent) -> None:
    for _ in range(50):
        record("publish", stream="x", verdict="refused", client_ip="192.0.2.7", reason="no key was shown")
    assert len(recent.take()) == 1
    for number in range(200):
        recent.tell("demo", str(number))
    kept = recent.take()
    assert [each.text for each in kept] == [str(number) for number in range(100, 200)]
    recent.put_back(kept)
    assert recent.take() == kept
