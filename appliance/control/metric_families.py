"""What metrics are made with: those that are told here, and those that are counted elsewhere."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from prometheus_client.metrics_core import Metric

PREFIX: Final = "appliance_"

SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds of the buckets that times are sorted into: from an answer out of memory to a time limit."""


class Given(Collector):
    """Metrics that were made already, for a registry."""

    def __init__(self, metrics: Iterable[Metric]) -> None:
        self._metrics = list(metrics)

    def collect(self) -> Iterator[Metric]:
        """All of them."""
        return iter(self._metrics)


class Histogram:
    """How long something took, each time: counted in buckets. Used from one event loop only."""

    __slots__ = ("_bounds", "_counts", "_sum")

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0

    def observe(self, seconds: float) -> None:
        """It took so long once more."""
        self._counts[bisect_left(self._bounds, seconds)] += 1
        self._sum += seconds

    def add_to(self, family: HistogramMetricFamily, labels: Sequence[str]) -> None:
        """Adds what was counted to `family`, under `labels`."""
        total, buckets = 0, []
        names = [*(f"{bound:g}" for bound in self._bounds), "+Inf"]
        for name, count in zip(names, self._counts, strict=True):
            total += count
            buckets.append((name, float(total)))
        family.add_metric(labels, buckets, self._sum)


def gauge(name: str, text: str, *labels: str) -> GaugeMetricFamily:
    """A value that goes up and down."""
    return GaugeMetricFamily(PREFIX + name, text, labels=labels)


def counter(name: str, text: str, *labels: str) -> CounterMetricFamily:
    """A value that only grows; `_total` is put behind its name."""
    return CounterMetricFamily(PREFIX + name, text, labels=labels)


def histogram(name: str, text: str, *labels: str) -> HistogramMetricFamily:
    """Times, in buckets."""
    return HistogramMetricFamily(PREFIX + name, text, labels=labels)


def put(
    family: GaugeMetricFamily | CounterMetricFamily,
    labels: Sequence[str],
    value: float | None,
    factor: float = 1,
) -> None:
    """Adds a sample, unless there is none."""
    if value is not None:
        family.add_metric(labels, value * factor)
