"""The audit log: every decision as one line of JSON in the journal.

A decision (publish, play, view, api) has verdict (allowed or refused), status, client_ip, and what it is
about; a refusal has its reason. A viewer's first yes stands for those that follow until the viewer was away
for a minute; where everybody may watch (open) a yes is not logged. The journal keeps the log within its own
bounds of size (role base), and no rate drops a line (LogRateLimitIntervalSec=).
Fields never carry an argument of a request, so no key of a stream and no reader's secret reaches a log.
"""

from __future__ import annotations

import logging
from typing import Any, Final

from appliance.names import shorten

_LOG: Final = logging.getLogger("appliance")


def record(event: str, *, level: int = logging.INFO, **fields: Any) -> None:
    """Logs `event` with `fields`; texts among them may be untrusted, JSON escapes them."""
    _LOG.log(level, event, extra={"fields": fields})


def untrusted(text: str) -> str:
    """A text of a stranger, cut to what a log line should carry."""
    return text if text.isascii() and text.isprintable() and len(text) <= 80 else shorten(text)
