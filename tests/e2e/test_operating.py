"""What an operator and a monitor see of a live stream on a real host."""

from __future__ import annotations

import json
import time
from typing import Any

from prometheus_client.parser import text_string_to_metric_families

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site
from tests.support.waiting import until

SMALL = Signal(width=320, height=180, rate="25")
# The host has no curl.
_GET = "import sys, urllib.request as r; print(r.urlopen(sys.argv[1], timeout=10).read().decode())"


def show(site: Site, stream: str) -> dict[str, Any]:
    """Return what `appliance streams show --json` says."""
    shown: dict[str, Any] = json.loads(site.run("appliance", "streams", "show", stream, "--json").stdout)
    return shown


def samples(text: str, stream: str) -> dict[str, float]:
    """Return the samples of a stream that have no other label, by name."""
    return {
        sample.name: sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.labels == {"stream": stream}
    }


def test_a_live_stream_is_shown_and_measured(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), SMALL):
        player.wait_for(site.hls(stream), segments=3)
        # a rate is known once whole segments are there
        until("a rate", lambda: bool(show(site, stream)["media"]["renditions"][0]["kbps"]), 20)
        shown = show(site, stream)
        assert (shown["state"], shown["seen"]["gone"], shown["seen"]["unit"]) == ("live", False, "active")
        assert shown["seen"]["newest_segment_age"] < 10
        for rung in shown["media"]["renditions"]:
            assert rung["segments"] >= shown["media"]["next_msn"] - 2
            assert rung["lost"] == 0
        assert player.multivariant(site.hls(stream)).variants[0].url.split("/")[-3] == shown["media"]["epoch"]
        said = site.run("appliance", "streams", "show", stream).stdout
        assert shown["source"]["text"] in said
        assert shown["media"]["content_key"]["kid"] in said
        assert f":8443/hls/{stream}.m3u8" in said
        [row] = [
            line for line in site.run("appliance", "streams", "list").stdout.splitlines() if stream in line
        ]
        assert "live" in row

        on_loopback = site.run("python3", "-c", _GET, "http://127.0.0.1:8000/metrics").stdout
        seen = samples(on_loopback, stream)
        assert seen["appliance_stream_up"] == 1
        assert seen["appliance_stream_source_bytes_per_second"] > 0
        assert abs(seen["appliance_stream_newest_segment_timestamp_seconds"] - time.time()) < 20
        family = shown["encoder"]["family"]
        codec = shown["encoder"]["codec"]
        labels = f'codec="{codec}",family="{family}",stream="{stream}"'
        assert f"appliance_stream_encoder_info{{{labels}}} 1.0" in on_loopback
        # delivery has told the control service of what it sent, on the host's own socket
        sent = f'appliance_delivery_sent_bytes_total{{kind="playlist",stream="{stream}"}}'
        assert sent in on_loopback
        assert "appliance_rtmp_up 1.0" in on_loopback
        assert "appliance_valkey_up 1.0" in on_loopback
        joined = [
            line
            for line in site.run("appliance", "logs", "--stream", stream, "--json").stdout.splitlines()
            if shown["media"]["epoch"] in line
        ]
        assert any('"on_air"' in line and '"publication"' in line for line in joined)
        assert any(f'"stream@{stream}.service"' in line for line in joined)
        # the lab's own network is an operator's
        assert samples(player.get(site.http("/metrics")).body.decode(), stream)["appliance_stream_up"] == 1
    until("the publisher is missed", lambda: show(site, stream)["state"] == "waiting", 20)


def test_only_root_sees_the_streams_files(site: Site) -> None:
    refused = site.run("setpriv", "--reuid=nobody", "appliance", "streams", "show", "test-0", check=False)
    assert "sudo appliance streams show" in refused.stderr
    assert "Traceback" not in refused.stderr
    unknown = site.run("appliance", "streams", "show", "nobody-publishes-this", check=False)
    assert "there is no such stream on this host" in unknown.stderr


def test_a_stream_whose_process_is_gone_is_said_to_be_old(site: Site, stream: str) -> None:
    unit = f"stream@{stream}.service"
    with Publisher(site.rtmp(stream), SMALL):
        player.wait_for(site.hls(stream), segments=1)
        # Frozen, it writes nothing, and control has no unit to start.
        site.run("systemctl", "freeze", unit)
        try:
            until("the status is old", lambda: bool(show(site, stream)["seen"]["gone"]), 15)
            said = site.run("appliance", "streams", "show", stream).stdout
            assert said.startswith("OLD: ")
            assert f"journalctl -u {unit}" in said
            scraped = player.get(site.http("/metrics")).body.decode()
            assert samples(scraped, stream)["appliance_stream_up"] == 0
        finally:
            site.run("systemctl", "thaw", unit)
