"""What the control service was asked and answered, its decisions among it, and how long that took."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import Histogram, counter, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

_ENDPOINTS: Final = {
    "/auth/publish": "publish",
    "/auth/play": "play",
    "/auth/view": "view",
    "/auth/publish_done": "publish_done",
    "/auth/play_done": "play_done",
}
_BEGINNINGS: Final = (
    ("/keys/", "key"),
    ("/api/v1/", "api"),
    ("/streams/", "streams"),
    ("/dashboard/", "dashboard"),
)

OTHERS: Final = "other"


class RequestTally:
    """Counts requests by endpoint and status. Used from one event loop only."""

    def __init__(self) -> None:
        self._counts: Counter[tuple[str, int]] = Counter()
        self._durations: dict[str, Histogram] = {}
        for endpoint in ("publish", "view", "key"):
            self._durations[endpoint] = Histogram()

    def note(self, path: str, status: int, seconds: float) -> None:
        """A request for `path` was answered with `status`, after `seconds`."""
        endpoint = _ENDPOINTS.get(path) or next(
            (name for beginning, name in _BEGINNINGS if path.startswith(beginning)), OTHERS
        )
        self._counts[endpoint, status] += 1
        if (durations := self._durations.get(endpoint)) is not None:
            durations.observe(seconds)

    def metrics(self) -> Iterator[Metric]:
        """What was counted since the service began."""
        counts = counter(
            "control_requests",
            "Requests that the control service answered; publish, play and view are its decisions.",
            "endpoint",
            "code",
        )
        for (endpoint, status), count in sorted(self._counts.items()):
            counts.add_metric([endpoint, str(status)], count)
        yield counts
        durations = histogram(
            "control_request_duration_seconds", "From a request's arrival to its answer.", "endpoint"
        )
        for endpoint, known in self._durations.items():
            known.add_to(durations, [endpoint])
        yield durations
