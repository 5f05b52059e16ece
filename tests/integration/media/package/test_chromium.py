"""A real browser with hls.js plays a host's Transport Streams, over a discontinuity."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from appliance.secrets.keyring import Keyring
from tests.integration.media.package.conftest import ALL, broadcast, flashes, now, served
from tests.integration.media.package.test_transport_streams import OUTPUTS
from tests.support.browser import Viewer
from tests.support.waiting import until
from tests.unit.media.package.published import Workbench, options

if TYPE_CHECKING:
    from pathlib import Path

PLAY_SECONDS = 12


def test_chromium_plays_them_with_hls_js(tmp_path: Path) -> None:
    """The packager alone, with FFmpeg in front of it: no host of the tests has this container."""
    bench = Workbench(tmp_path, Keyring.create(b"m" * 32), options(window=10, rotation=4, container="mpegts"))
    packager = bench.packager()

    def publish() -> None:
        for number, seconds in enumerate((8, 20)):
            packager.begin(ALL, started_at=now())
            pictures, beeps = flashes(seconds)[:4], flashes(seconds)[4:]
            inputs = ["-re", *pictures, "-re", *beeps]
            with broadcast(inputs, ALL, list(OUTPUTS.values())) as source:
                source.into(packager, seed=number)
            packager.end_run()
        packager.finish()

    publisher = threading.Thread(target=publish)
    publisher.start()
    try:
        until("something to play", lambda: packager.playable, 20)
        with served(bench) as url, Viewer(url, sound=True) as viewer:
            viewer.until("pictures", lambda seen: seen.pictures > 0, 20)
            seen = viewer.watch(PLAY_SECONDS)
    finally:
        publisher.join(60)
    assert "#EXT-X-DISCONTINUITY\n" in bench.check(packager.epoch)["180p"].text
    assert seen.fatal == []
    assert seen.errors == []
    assert seen.stalls == 0
    assert seen.pictures > 25 * PLAY_SECONDS * 0.7
    assert len(seen.beeps) >= PLAY_SECONDS / 2 * 0.7
    assert set(seen.heights) <= {180, 90}
