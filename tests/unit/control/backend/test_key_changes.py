"""Content keys that change are told once each."""

from __future__ import annotations

import json
from typing import Any

from appliance.control.backend.key_changes import KeyChanges
from appliance.media.status_reading import Reading
from appliance.names import StreamName

DEMO = StreamName("demo")


def status(kid: str | None) -> dict[StreamName, Reading]:
    media: dict[str, Any] = {} if kid is None else {"content_key": {"kid": kid}}
    return {DEMO: Reading({"media": media})}


def test_each_new_key_is_told_and_the_first_is_not() -> None:
    changes = KeyChanges("here")
    assert list(changes.look(status(None))) == []
    assert list(changes.look(status("1-a"))) == []
    [event] = changes.look(status("1-b"))
    assert (event.type, event.stream) == ("key.rotated", "demo")
    data = json.loads(event.body)["data"]
    assert data == {"stream": "demo", "key": "content-key", "kid": "1-b", "host": "here"}
    assert list(changes.look(status("1-b"))) == []


def test_what_could_not_be_told_comes_again() -> None:
    changes = KeyChanges("here")
    list(changes.look(status("1-a")))
    next(changes.look(status("1-b")))  # storing it failed: the next is never asked for
    assert [event.type for event in changes.look(status("1-b"))] == ["key.rotated"]


def test_a_stream_that_ended_begins_anew() -> None:
    changes = KeyChanges("here")
    list(changes.look(status("1-a")))
    list(changes.look({}))
    assert list(changes.look(status("1-c"))) == []
