"""What our services say: one line of JSON for each record on standard error, which is the journal's."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import Any, Final

# syslog(3) priorities, read by the journal from the start of a line (sd-daemon(3)).
_PRIORITY: Final = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class JsonFormatter(logging.Formatter):
    """One JSON object for each record, prefixed with the priority when the journal listens."""

    def __init__(self) -> None:
        super().__init__()
        self._prefix = "JOURNAL_STREAM" in os.environ

    def format(self, record: logging.LogRecord) -> str:
        """The line for `record`."""
        line: dict[str, Any] = {"event": record.getMessage(), "logger": record.name}
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        text = json.dumps(line, default=str)
        return f"<{_PRIORITY.get(record.levelno, 6)}>{text}" if self._prefix else text


def configure(level: int = logging.INFO) -> None:
    """Sends every logger of this process through JsonFormatter to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    # httpx logs every request with its URL at INFO; the reconciler makes one every few seconds.
    for name in ("httpx", "httpcore"):
        logging.getLogger(name).setLevel(logging.WARNING)
