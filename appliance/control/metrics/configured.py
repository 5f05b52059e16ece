"""What this host is set to, for rules that compare with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metric_families import gauge
from appliance.media.package.options import PackagingOptions
from appliance.media.package.timeline import target_duration
from appliance.media.serve.server import longest_hold

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.settings import Settings


def configured_metrics(settings: Settings) -> Iterator[Metric]:
    """The settings that say how long something should take."""
    options = PackagingOptions.of(settings)
    hold = longest_hold(target_duration(options.segment_seconds), options.part_seconds or None)
    for name, text, seconds in (
        ("configured_segment_seconds", "How long a media segment is to be.", settings.segment_seconds),
        (
            "configured_reload_hold_seconds",
            "How long a player's request for what comes next in a playlist is held at most.",
            hold,
        ),
        (
            "configured_content_key_seconds",
            "Age at which a stream's content key is to be replaced.",
            settings.rotation_seconds,
        ),
    ):
        family = gauge(name, text)
        family.add_metric([], seconds)
        yield family
