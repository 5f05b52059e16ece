"""The verdict no, and the sentences it is told with."""

from __future__ import annotations

from typing import Final

NOT_ALLOWED: Final = "Not allowed"
UNPAID: Final = "Payment required"
NOT_NOW: Final = "Not possible at the moment"


class RefusedError(Exception):
    """A verdict: an HTTP status, the text the caller is told, and the reason only the log names."""

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(f"{status} {text}: {reason}")
        self.status = status
        self.text = text
        self.reason = reason
