"""How the backend answers, counted: the client that all questions and events go through."""

from __future__ import annotations

import time
from collections import Counter
from typing import TYPE_CHECKING, Final

from appliance.control.backend.client import BackendClient
from appliance.control.metric_families import Histogram

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.secrets.webhook_secret import WebhookSecret

SILENT: Final = "silent"
"""What stands in the place of a status where there was none."""


class TimedClient(BackendClient):
    """A BackendClient that counts its attempts.

    `answers` has how often a path was answered with a status (SILENT for none), `durations` how long that
    took, in vain too.
    """

    def __init__(self, url: str, signing: Callable[[], Sequence[WebhookSecret]]) -> None:
        super().__init__(url, signing)
        self.answers: Counter[tuple[str, str]] = Counter()
        self.durations: dict[str, Histogram] = {}

    async def ask(
        self, path: str, body: bytes, *, content_type: str, identity: str, seconds: float
    ) -> tuple[int, bytes]:
        """As BackendClient has it. Raises BackendSilentError."""
        began, code = time.perf_counter(), SILENT
        try:
            status, content = await super().ask(
                path, body, content_type=content_type, identity=identity, seconds=seconds
            )
            code = str(status) if 100 <= status <= 599 else "invalid"
        finally:
            self.answers[path, code] += 1
            self.durations.setdefault(path, Histogram()).observe(time.perf_counter() - began)
        return status, content
