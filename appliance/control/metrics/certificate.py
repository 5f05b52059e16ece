"""When the certificate ends that viewers are shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.metric_families import gauge

if TYPE_CHECKING:
    from collections.abc import Iterator

    from cryptography import x509
    from prometheus_client.metrics_core import Metric


def certificate_metrics(shown: x509.Certificate | None) -> Iterator[Metric]:
    """The end of `shown`, nothing where there is none."""
    end = gauge(
        "delivery_certificate_not_after_timestamp_seconds",
        "When the certificate ends that delivery shows; absent without TLS, and while delivery shows none.",
    )
    if shown is not None:
        end.add_metric([], shown.not_valid_after_utc.timestamp())
    yield end
