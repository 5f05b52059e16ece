"""`GET /metrics`: asks everybody, at once, and writes down what they say."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder
from starlette.responses import Response

from appliance.control.metric_families import Given
from appliance.control.metrics.backend import backend_metrics
from appliance.control.metrics.capacity import capacity_metrics
from appliance.control.metrics.certificate import certificate_metrics
from appliance.control.metrics.configured import configured_metrics
from appliance.control.metrics.delivery import ask_delivery, delivery_metrics
from appliance.control.metrics.gpu import ask_gpus, failed_gpu_metrics, gpu_metrics
from appliance.control.metrics.ingest import ingest_metrics
from appliance.control.metrics.secrets import rotations_due, secret_metrics
from appliance.control.metrics.state import ask_state, state_metrics
from appliance.control.metrics.streams import StreamCollector
from appliance.control.responses import NO_STORE, detail
from appliance.control.stat import StatUnavailableError
from appliance.health.shown_certificate import ask_certificate
from appliance.media.status_reading import streams_on_disk

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from datetime import datetime

    from prometheus_client.metrics_core import Metric
    from starlette.requests import Request

    from appliance.control.context import Control


class Metrics:
    """The endpoint."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._root = Path(control.settings.media_root)

    async def endpoint(self, request: Request) -> Response:
        """In the text format, or in OpenMetrics for who asks for it; 503 when the media root is closed to us.

        Who does not answer is said to be down (`appliance_…_up` 0), and the others' figures are there.
        """
        try:
            encode, content_type = choose_encoder(request.headers.get("accept", ""))
        except (TypeError, ValueError):  # it trips over a version that is no number
            encode, content_type = choose_encoder("")
        settings = self._control.settings
        # In two, as types are known of six at most.
        (state, xml, gpus, delivery), (certificate, rotations, uses, marks) = await asyncio.gather(
            asyncio.gather(
                ask_state(self._control.state),
                self._ingest(),
                ask_gpus(),
                ask_delivery(settings.delivery_port),
            ),
            asyncio.gather(
                ask_certificate(settings.delivery_tls_port, proxied=settings.delivery_proxy_protocol),
                asyncio.to_thread(rotations_due, self._control.secrets),
                self._control.admission.uses(),
                self._control.admission.marks(),
            ),
        )
        registry = CollectorRegistry(auto_describe=False)
        registry.register(StreamCollector(self._root))
        try:
            self._control.traffic.keep(await asyncio.to_thread(streams_on_disk, self._root))
            registry.register(
                Given(
                    [
                        *self._own(rotations),
                        *delivery_metrics(self._control.traffic, answers=delivery),
                        *certificate_metrics(certificate),
                        *ingest_metrics(xml),
                        *state_metrics(state, with_events=self._control.backend is not None),
                        *gpu_metrics(gpus),
                        *failed_gpu_metrics(marks, self._control.admission.capacity()),
                        *capacity_metrics(
                            uses,
                            limit=self._control.admission.limit,
                            refused=self._control.admission.refused,
                        ),
                    ]
                )
            )
            # In a thread: it reads a file for each stream.
            body = await asyncio.to_thread(encode, registry)
        except OSError:
            return detail(503, "The media root cannot be read")
        return Response(body, headers={**NO_STORE, "Content-Type": content_type})

    def _own(self, rotations: Mapping[str, datetime]) -> Iterator[Metric]:
        """What this service knows by itself."""
        control = self._control
        yield from configured_metrics(control.settings)
        yield from control.requests.metrics()
        if control.backend is not None:
            yield from backend_metrics(control.backend)
        yield from secret_metrics(control.secrets, rotations)

    async def _ingest(self) -> bytes | None:
        try:
            return await self._control.ingest.fetch()
        except StatUnavailableError:
            return None
