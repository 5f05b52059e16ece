"""The customer's backend, as this service finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.control.backend.breaker import State
from appliance.control.metric_families import counter, gauge, histogram

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.control.backend.service import Backend


def backend_metrics(backend: Backend) -> Iterator[Metric]:
    """Attempts at it, how long they took, and whether it is left alone at present."""
    answers = counter(
        "backend_requests",
        "Attempts to ask or tell the backend, by the status it answered, or silent.",
        "path",
        "code",
    )
    for (path, code), count in sorted(backend.client.answers.items()):
        answers.add_metric([path, code], count)
    yield answers
    durations = histogram("backend_request_duration_seconds", "One such attempt, in vain or not.", "path")
    for path, known in sorted(backend.client.durations.items()):
        known.add_to(durations, [path])
    yield durations
    breaker = gauge(
        "backend_breaker_state",
        "1 for the state of the breaker that lets the least through; open: the backend is left alone.",
        "state",
    )
    now = backend.decisions.state
    for state in State:
        breaker.add_metric([state.value], state is now)
    yield breaker
