"""The end of the certificate that delivery shows, as /metrics has it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from cryptography import x509

from appliance.control.metrics.certificate import certificate_metrics
from tests.support.shown_certificate import write_pair

if TYPE_CHECKING:
    from pathlib import Path

LATER = datetime(2099, 5, 4, 3, 2, 1, tzinfo=UTC)


def test_it_is_told_in_seconds(tmp_path: Path) -> None:
    write_pair(tmp_path / "pair.pem", LATER)
    [metric] = certificate_metrics(x509.load_pem_x509_certificate((tmp_path / "pair.pem").read_bytes()))
    [sample] = metric.samples
    assert sample.name == "appliance_delivery_certificate_not_after_timestamp_seconds"
    assert (sample.value, sample.labels) == (LATER.timestamp(), {})


def test_of_nobody_nothing_is_told() -> None:
    assert [metric.samples for metric in certificate_metrics(None)] == [[]]
