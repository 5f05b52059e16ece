"""What this host's encoders were measured to carry, and what of that is taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metric_families import counter, gauge, put

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from prometheus_client.metrics_core import Metric

    from appliance.media.capacity.placing import Use


def capacity_metrics(uses: Sequence[Use] | None, *, limit: float, refused: int) -> Iterator[Metric]:
    """`uses` of the devices, None where nothing was measured or nobody knows; `limit` is what they may be."""
    known = gauge("capacity_known", "1 while publishers are let in by what was measured, 0 when all are.")
    known.add_metric([], uses is not None)
    yield known
    total = counter("capacity_refused_publishes", "Publishes refused because no encoder had room.")
    total.add_metric([], refused)
    yield total
    if uses is None:
        return
    most = gauge("capacity_limit_ratio", "Share of what was measured up to which streams are let in.")
    most.add_metric([], limit)
    yield most
    used = gauge("capacity_used_ratio", "Share of what was measured that streams take.", "device")
    sessions = gauge("capacity_encodes", "Rungs that streams have encoded.", "device")
    bound = gauge("capacity_encodes_max", "Encodes that the driver lets be open at once.", "device")
    for use in uses:
        used.add_metric([use.device], use.share)
        sessions.add_metric([use.device], use.sessions)
        put(bound, [use.device], use.sessions_most)
    yield from (used, sessions, bound)
