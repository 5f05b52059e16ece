"""What this host is set to, for rules that compare with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metrics.families import gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.settings import Settings


def configured_metrics(settings: Settings) -> Iterator[Metric]:
    """The settings that say how long something should take."""
    for name, text, seconds in (
        ("configured_segment_seconds", "How long a media segment is to be.", settings.segment_seconds),
        (
            "configured_content_key_seconds",
            "Age at which a stream's content key is to be replaced.",
            settings.rotation_seconds,
        ),
    ):
        family = gauge(name, text)
        family.add_metric([], seconds)
        yield family
