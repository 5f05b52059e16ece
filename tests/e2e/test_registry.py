"""Registered streams on a whole host: who publishes, by a key, and who watches, by a policy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs

import pytest

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site
from tests.support.stub_backend import Request, StubBackend, answer
from tests.support.waiting import until

STREAM, WATCHED = "registered", "watched"
KEPT_FILES = ("/etc/nginx/delivery.conf", "/etc/appliance/appliance.yml")
UNIT = "/etc/systemd/system/appliance-control.service"
BACKENDS_OWN = "eyJvd24i.eyJvd24i.b3du"
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


def judged(request: Request) -> bytes:
    """What a backend answers that knows one token; everybody may publish."""
    fields = {name: values[0] for name, values in parse_qs(request.body.decode()).items()}
    unpaid = request.path == "/auth/play" and fields.get("token") != BACKENDS_OWN
    return answer(402) if unpaid else answer(200, json.dumps({"sub": "anna"}).encode())


@pytest.fixture
def backend(site: Site) -> Iterator[StubBackend]:
    """A backend that the host asks, and a delivery that asks the host; afterwards it is as it was."""
    saved = [f"{path}.saved" for path in (*KEPT_FILES, UNIT)]
    with StubBackend(choose=judged, host=site.neighbour).beside() as stub:
        for path, copy in zip((*KEPT_FILES, UNIT), saved, strict=True):
            site.run("cp", "--archive", path, copy)
        began = time.monotonic()
        site.apply("--tags", "control,delivery", delivery_view_auth=True, control_http_callback_url=stub.url)
        print(f"delivery asks, and the host has a backend, after {time.monotonic() - began:.1f} s")
        try:
            yield stub
        finally:
            for path, copy in zip((*KEPT_FILES, UNIT), saved, strict=True):
                site.run("mv", copy, path)
            site.run("systemctl", "daemon-reload")
            site.run("systemctl", "restart", "appliance-control.service")
            site.run("systemctl", "reload", "appliance-delivery.service")


def issued(site: Site, stream: str, *options: str) -> str:
    """Return where a stream plays with a token that the host issues."""
    token = appliance(site, "tokens", "issue", stream, *options)["token"]
    return site.http(f"/hls/t/{token}/{WATCHED}.m3u8")


def test_a_policy_says_who_watches(site: Site, backend: StubBackend) -> None:
    appliance(site, "streams", "register", WATCHED, "--view", "token")
    key = appliance(site, "streams", "keys", "add", WATCHED)["key"]
    plain = site.hls(WATCHED)
    short, good, foreign = (
        issued(site, WATCHED, "--minutes", "0.05"),
        issued(site, WATCHED, "--viewer", "anna"),
        issued(site, STREAM),
    )
    with Publisher(site.rtmp(f"{WATCHED}?key={key}"), Signal()):
        found = player.wait_for(good, segments=1)
        [segment, *_] = player.media(found.variants[0].url).segments
        assert segment.key is not None
        assert len(player.content_key(segment)) == 16
        for asked in (plain, segment.key.url.replace(good.split("/")[5], "a.b.c")):
            assert player.get(asked).status == 401
        assert player.get(foreign).status == 403
        until("the short token is over", lambda: player.get(short).status == 401, 15)

        [viewer] = [each for each in appliance(site, "viewers", WATCHED)[WATCHED] if each["viewer"] == "anna"]
        site.run("appliance", "viewers", "drop", WATCHED, viewer["id"])
        seconds = until("the viewer is out", lambda: player.get(good).status == 403, 10)
        print(f"out {seconds:.1f} s after it was dropped")

        appliance(site, "streams", "register", WATCHED, "--view", "backend")
        until("the backend is asked", lambda: player.get(plain).status == 402, 10)
        own = site.http(f"/hls/t/{BACKENDS_OWN}/{WATCHED}.m3u8")
        player.wait_for(own, segments=2)
        assert any(each["viewer"] == "anna" for each in appliance(site, "viewers")[WATCHED])
        asked_about = [request for request in backend.requests if request.path == "/auth/play"]
        assert len(asked_about) < 10
    site.run("appliance", "streams", "remove", WATCHED)
