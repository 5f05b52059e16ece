"""How late a viewer is, from the making of a picture to its showing, and what publishing costs in waiting."""

from __future__ import annotations

import statistics
from contextlib import ExitStack
from typing import Any

from tests.bench.conftest import Table
from tests.support import player
from tests.support.browser import LOW_LATENCY, Seen, Viewer
from tests.support.encoder import ClockedPublisher, Publisher, Signal
from tests.support.site import STREAMS, Site

SENT = Signal(width=1280, height=720, rate="30")
SECONDS = 30.0
_SETTLED = 60
"""Pictures after which a player has found its place."""


def row(name: str, seen: Seen, made_at: dict[int, float]) -> list[str]:
    """Return a row of the table: what was watched, the latencies, the first picture, what went wrong."""
    late = sorted(seconds for _, seconds in seen.latencies(made_at.items())[_SETTLED:])
    assert late, f"{name}: {len(seen.shown)} pictures were shown; {seen.fatal} {seen.errors}"
    first = min(picture.at for picture in seen.shown) - min(made_at.values())
    return [
        name,
        f"{statistics.median(late):.2f}",
        f"{late[len(late) * 95 // 100]:.2f}",
        f"{first:.2f}",
        f"{seen.stalls} stalls, {len(seen.errors)} errors, {len(seen.fatal)} fatal",
    ]


def test_latency_in_the_browser(host: Site, tables: list[Table]) -> None:
    """Low latency and, beside it, the same stream without parts; players catch up at 1.5 times the speed."""
    table = Table(
        "latency in Chromium, encoder to screen: 720p30 source, encrypted, through nginx",
        ["viewer", "p50 s", "p95 s", "first picture s", "on the way"],
    )
    later: dict[str, dict[str, Any]] = {
        "came later": LOW_LATENCY,
        "came later, no parts": {"lowLatencyMode": False},
    }
    url = host.hls(STREAMS[0])
    with ExitStack() as sending:
        with Viewer(url, LOW_LATENCY) as early:
            publisher = sending.enter_context(ClockedPublisher(host.rtmp(STREAMS[0]), SENT))
            table.rows.append(row("open before the stream began", early.watch(SECONDS), publisher.made_at))
        for name, options in later.items():
            with Viewer(url, options) as viewer:
                table.rows.append(row(name, viewer.watch(SECONDS), publisher.made_at))
            table.rows[-1][3] = ""  # the stream was there before
    url = host.hls(STREAMS[1])
    with Viewer(url, LOW_LATENCY) as viewer:
        with Publisher(host.rtmp(STREAMS[1]), SENT):
            player.wait_for(url, segments=4)
        with ClockedPublisher(host.rtmp(STREAMS[1]), SENT) as again:
            table.rows.append(row("after a reconnect", viewer.watch(SECONDS), again.made_at))
            table.rows[-1][3] = ""
    tables.append(table)
    assert float(table.rows[0][1]) < float(table.rows[2][1])
