"""The verdict no."""

from __future__ import annotations


class RefusedError(Exception):
    """A verdict: an HTTP status, the text the caller is told, and the reason only the log names."""

    def __init__(self, status: int, text: str, reason: str) -> None:
        super().__init__(f"{status} {text}: {reason}")
        self.status = status
        self.text = text
        self.reason = reason
