"""A registered stream on a whole host: its key lets in, and takes its publisher out."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site
from tests.support.waiting import until

STREAM = "registered"
DROPPED_SECONDS = 2.0


def appliance(site: Site, *arguments: str) -> Any:
    """Run a command on the host; return what it answers as JSON."""
    return json.loads(site.run("appliance", *arguments, "--json").stdout)


@pytest.fixture
def key(site: Site) -> dict[str, str]:
    """The key of a stream that was just registered."""
    appliance(site, "streams", "register", STREAM)
    made: dict[str, str] = appliance(site, "streams", "keys", "add", STREAM, "--note", "test")
    return made


def test_a_key_lets_in_and_takes_out(site: Site, key: dict[str, str]) -> None:
    with Publisher(site.rtmp(STREAM), Signal()) as without:
        without.wait_refused(10)
    with Publisher(site.rtmp(f"{STREAM}?key={key['key']}"), Signal()) as publisher:
        player.wait_for(site.hls(STREAM), segments=1)
        [row] = [item for item in appliance(site, "streams", "registered")["items"] if item["name"] == STREAM]
        assert row["publisher"]["key_id"] == key["id"]
        began = time.monotonic()
        site.run("appliance", "streams", "keys", "revoke", STREAM, key["id"])
        until("the publisher is dropped", lambda: not publisher.connected, DROPPED_SECONDS + 3)
        print(f"revoked and dropped within {time.monotonic() - began:.2f} s, the command included")
    until("the stream is free", lambda: STREAM not in site.active(), 5)
    with Publisher(site.rtmp(f"{STREAM}?key={key['key']}"), Signal()) as again:
        again.wait_refused(10)
    journal = site.run("journalctl", "-b", "-o", "cat", "--no-pager").stdout
    assert key["key"].partition(".")[2] not in journal
    site.run("appliance", "streams", "remove", STREAM)
    assert site.run("appliance", "streams", "keys", "list", STREAM, check=False).returncode != 0
