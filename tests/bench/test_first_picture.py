"""How long a stream takes to begin: from the encoder's first picture to the first that can be played."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence

from tests.bench.conftest import Table
from tests.support import low_latency, player
from tests.support.browser import LOW_LATENCY, Viewer
from tests.support.encoder import ClockedPublisher, Signal
from tests.support.playlists import parse_multivariant
from tests.support.site import STREAMS, Site
from tests.support.waiting import until

SENT = Signal(width=1280, height=720, rate="30")
ROUNDS = 10
WAIT_SECONDS = 30.0
POLL_SECONDS = 0.02


def first_part(url: str) -> float:
    """Ask until a first part of the largest variant can be had and decrypted; return when that was (unix)."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        answer = player.get(url)
        if answer.status == 200:
            rungs = parse_multivariant(url, answer.body.decode()).heights
            media_url = rungs[max(rungs)].url
            playlist = low_latency.parse(media_url, player.get(media_url).body.decode())
            parts = [part for each in playlist.parts.values() for part in each if not part.gap]
            if parts and parts[0].map_url:
                assert player.get(parts[0].map_url).body[4:8] == b"ftyp"
                clear = player.decrypt(parts[0], player.content_key(parts[0]), player.get(parts[0].url).body)
                assert clear[4:8] in {b"moof", b"styp", b"prft"}, clear[:16]
                return time.time()
        time.sleep(POLL_SECONDS)
    raise AssertionError(f"{url}: no part within {WAIT_SECONDS:.0f} s")


def row(name: str, seconds: Sequence[float]) -> list[str]:
    """Return a row of the table; the nearest rank for p95."""
    ranked = sorted(seconds)
    p95 = ranked[min(len(ranked) - 1, round(0.95 * len(ranked)))]
    return [name, *(f"{each:.2f}" for each in (ranked[0], statistics.median(ranked), p95, ranked[-1]))]


def begin(host: Site, stream: str) -> tuple[float, float]:
    """Publish once; return the seconds to the first part and to the first picture."""
    url = host.hls(stream)
    publisher = ClockedPublisher(host.rtmp(stream), SENT)
    with Viewer(url, LOW_LATENCY) as page, publisher:
        had = first_part(url)
        seen = page.until("a picture", lambda seen: bool(seen.shown), WAIT_SECONDS)
        until("the encoder's clock", lambda: 0 in publisher.made_at, 5)
    assert seen.fatal == []
    return had - publisher.made_at[0], seen.shown[0].at - publisher.made_at[0]


def test_the_first_picture(host: Site, tables: list[Table]) -> None:
    parts, pictures = zip(*(begin(host, stream) for stream in STREAMS[2 : 2 + ROUNDS]), strict=True)
    table = Table(
        f"from the encoder's first keyframe: 720p30 source, encrypted, {ROUNDS} streams one after the other",
        ["until", "least s", "p50 s", "p95 s", "most s"],
    )
    table.rows.append(row("a client can fetch and decrypt the first part", parts))
    table.rows.append(row("a page that was open shows the first picture", pictures))
    tables.append(table)
