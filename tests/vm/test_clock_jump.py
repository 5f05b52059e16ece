"""The machine's clock is set by an hour while a stream is live: a container has none of its own to set."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urljoin

import httpx
import m3u8

from tests.support.waiting import until
from tests.vm.emulated import EMULATED_SECONDS, publishing, wait_for

ACTIVE = (
    "import urllib.request; "
    "print(urllib.request.urlopen('http://127.0.0.1:8000/streams/active', timeout=60).read().decode())"
)


def lease(host: Any) -> dict[str, str] | None:
    """Return what the control service says of who publishes, None when nobody does."""
    found: dict[str, dict[str, dict[str, str]]] = json.loads(host.check_output("python3 -c %s", ACTIVE))
    return found["active_streams"].get("demo")


def played(url: str) -> tuple[int, int]:
    """Return how many segments the first variant has had, and at how many places it broke off."""
    with httpx.Client(trust_env=False, timeout=60) as client:
        variant = urljoin(url, m3u8.loads(client.get(url).text).playlists[0].uri)
        media = m3u8.loads(client.get(variant).text)
    breaks = (media.discontinuity_sequence or 0) + sum(segment.discontinuity for segment in media.segments)
    return (media.media_sequence or 0) + len(media.segments), breaks


def test_a_stream_plays_on_and_stays_whose_it_is(host: Any, address: str) -> None:
    """Valkey counts the life of a lease by that clock: an hour later each of them is over at once."""
    url = f"http://{address}:8080/hls/demo.m3u8"

    def three_more() -> None:
        segments, _ = played(url)
        until("three segments more", lambda: played(url)[0] >= segments + 3, EMULATED_SECONDS)

    with publishing(f"rtmp://{address}/live/demo"):
        wait_for(url)
        until("a publisher", lambda: lease(host) is not None, EMULATED_SECONDS)
        three_more()  # what a test before this one has sent may be continued
        before, (_, breaks) = lease(host), played(url)
        for jump in ("+1 hour", "-1 hour"):
            host.check_output("date --set %s", jump)
            three_more()
            until(f"the same lease after {jump}", lambda: lease(host) == before, EMULATED_SECONDS)
            assert played(url)[1] == breaks
