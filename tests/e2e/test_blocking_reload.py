"""Many viewers wait for the next part of a live stream: the packager is asked once for all."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support import player
from tests.support.coalescing import Viewer
from tests.support.encoder import Publisher, Signal
from tests.support.playlists import parse_media
from tests.support.site import Site

SENT = Signal(width=640, height=360, rate="25")
VIEWERS = 200
ROUNDS = 3
# An nginx as it comes from its authors is 500 ms late with all answers but one. The tests' viewers, who share
# the host's cores, need up to 170 ms to read theirs.
SPREAD_SECONDS = 0.4


@pytest.fixture
def media_url(site: Site, stream: str) -> Iterator[str]:
    """A rendition of a live stream."""
    with Publisher(site.rtmp(stream), SENT):
        yield player.wait_for(site.hls(stream), segments=3).variants[0].url


async def _ask_together(viewers: list[Viewer], path: str) -> Counter[str]:
    """Have all ask for one thing; return how often delivery asked the packager (MISS) and did not (HIT)."""
    await asyncio.gather(*(viewer.fetch(path) for viewer in viewers))
    assert len({viewer.body for viewer in viewers}) == 1
    return Counter(viewer.headers["x-cache-status"] for viewer in viewers)


async def test_a_part_costs_the_packager_one_request(media_url: str) -> None:
    address = urlsplit(media_url)
    assert address.hostname is not None
    assert address.port is not None
    viewers = [Viewer(address.hostname, address.port) for _ in range(VIEWERS)]
    for viewer in viewers:
        await viewer.connect(address.path)
    for _ in range(ROUNDS):
        await viewers[0].fetch(address.path)
        whole = parse_media(media_url, viewers[0].body.decode()).last

        # Of the segment after the one that is being made: all shall have asked before it is there.
        asked = await _ask_together(viewers, f"{address.path}?_HLS_msn={whole + 2}&_HLS_part=1")

        assert asked == {"MISS": 1, "HIT": VIEWERS - 1}
        moments = [viewer.at for viewer in viewers]
        assert max(moments) - min(moments) < SPREAD_SECONDS
    for viewer in viewers:
        viewer.close()
