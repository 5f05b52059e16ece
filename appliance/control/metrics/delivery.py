"""What delivery sends, and how many watch: as its nginx told this service (`appliance.control.traffic`)."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import counter, gauge, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.control.traffic import Traffic


_SECONDS: Final = 1.0


async def ask_delivery(port: int) -> bool:
    """Whether delivery takes a connection at its port on this host; nothing is asked of it."""
    try:
        async with asyncio.timeout(_SECONDS):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


def delivery_metrics(traffic: Traffic, *, answers: bool) -> Iterator[Metric]:
    """Whether delivery `answers`, what was sent since the service began, and who watches now."""
    up = gauge("delivery_up", "1 when delivery takes connections.")
    up.add_metric([], answers)
    yield up
    viewers = gauge("stream_viewers", "Sessions that watch the stream on this host now.", "stream")
    for stream, count in sorted(traffic.viewers().items()):
        viewers.add_metric([stream], count)
    yield viewers
    sent = counter(
        "delivery_sent_bytes", "Bytes that delivery sent of a stream, headers among them.", "stream", "kind"
    )
    for (stream, kind), size in sorted(traffic.sent.items()):
        sent.add_metric([stream, kind], size)
    yield sent
    requests = counter(
        "delivery_requests", "Requests for a stream, by the class of their status.", "stream", "kind", "code"
    )
    for (stream, kind, code), count in sorted(traffic.requests.items()):
        requests.add_metric([stream, kind, code], count)
    yield requests
    waits = histogram(
        "delivery_reload_wait_seconds", "How long playlists that players wait for were held.", "stream"
    )
    for stream, known in sorted(traffic.waits.items()):
        known.add_to(waits, [stream])
    yield waits
    unreadable = counter("delivery_unreadable_lines", "Lines of delivery that were none.")
    unreadable.add_metric([], traffic.unreadable)
    yield unreadable
