"""Trouble that lasts is logged when it begins and when it ends, not at every attempt in between."""

from __future__ import annotations

import logging
from typing import Any

from appliance.control.audit import record


class Troubles:
    """The troubles of one task; `event` is the name its log lines have."""

    def __init__(self, event: str) -> None:
        self._event = event
        self._lasting: dict[str | None, str] = {}

    @property
    def lasting(self) -> list[str]:
        """What is wrong at present, each as it began."""
        return list(self._lasting.values())

    def __call__(self, reason: str | None, *, part: str | None = None) -> None:
        """An attempt has ended: `reason` says what was wrong, None that all is well.

        `part`: of what the task does, where it goes on with the others; each has a beginning and an end.
        """
        which: dict[str, Any] = {} if part is None else {"part": part}
        if reason is None:
            if part in self._lasting:
                del self._lasting[part]
                record(self._event, action="recovered", **which)
        elif part not in self._lasting:
            self._lasting[part] = reason
            record(self._event, action="waiting", reason=reason, level=logging.WARNING, **which)
