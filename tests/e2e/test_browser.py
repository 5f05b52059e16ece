"""A real browser with hls.js plays the stream."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import Site

FOLDER = Path(__file__).parent / "browser"
PLAY_SECONDS = 8


def test_chromium_plays_with_hls_js(site: Site, stream: str) -> None:
    node, chromium = shutil.which("node"), shutil.which("chromium")
    assert node, "node is missing: `files/bootstrap.sh browser` installs it"
    assert chromium, "chromium is missing: `files/bootstrap.sh browser` installs it"
    with Publisher(site.rtmp(stream), Signal(width=640, height=360, rate="25")):
        player.wait_for(site.hls(stream), segments=3)
        done = subprocess.run(
            [node, str(FOLDER / "play.js"), chromium, site.hls(stream), str(PLAY_SECONDS)],
            capture_output=True,
            text=True,
            check=False,
            timeout=90,
        )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    print(json.dumps(seen))
    assert seen["fatal"] == []
    assert seen["played_seconds"] > PLAY_SECONDS * 0.8
    assert seen["frames"] > 25 * PLAY_SECONDS * 0.7
    assert seen["stalls"] == 0
    assert seen["audio_bytes"] > 0
    assert (seen["width"], seen["height"]) == (640, 360)
