"""A real browser with hls.js plays the stream."""

from __future__ import annotations

import json

from tests.support import browser, player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site

PLAY_SECONDS = 8


def test_chromium_plays_with_hls_js(site: Site, stream: str) -> None:
    with Publisher(site.rtmp(stream), Signal(width=640, height=360, rate="25")):
        player.wait_for(site.hls(stream), segments=3)
        seen = browser.play(site.hls(stream), PLAY_SECONDS)
    print(json.dumps(seen))
    assert seen["fatal"] == []
    assert seen["played_seconds"] > PLAY_SECONDS * 0.8
    assert seen["frames"] > 25 * PLAY_SECONDS * 0.7
    assert seen["stalls"] == 0
    assert seen["audio_bytes"] > 0
    assert (seen["width"], seen["height"]) == (640, 360)
