"""Valkey takes the service's password no more: so it is when the file was lost, and drawn anew by `site.yml`.

A rotation brings the new one through Valkey before the old one ends. Where that was not the way, the new one
is on disk alone, and systemd's copy of it comes with the next start. So the service ends, and systemd starts
it again; connections wait in its socket meanwhile. It does so once: a service whose password was refused from
its beginning has what is on disk, and stays, for viewers and for whatever needs no Valkey.
"""

from __future__ import annotations

import logging
import signal
import time
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.state.valkey import StateUnavailableError

REFUSED_SECONDS: Final = 5.0
"""How long it has to be refused."""


def _end() -> None:
    signal.raise_signal(signal.SIGTERM)


class StalePassword:
    """Hears what came of each question to Valkey.

    Parameters
    ----------
    end
        Ends the service.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, *, end: Callable[[], None] = _end, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._end = end
        self._clock = clock
        self._was_good = False
        self._since: float | None = None

    def answered(self) -> None:
        """Valkey has answered: the password is good."""
        self._was_good = True
        self._since = None

    def failed(self, error: StateUnavailableError) -> None:
        """It has not; ends the service when it has refused the password for long enough."""
        if not error.wrong_password:
            self._since = None
            return
        now = self._clock()
        self._since = now if self._since is None else self._since
        if self._was_good and now - self._since >= REFUSED_SECONDS:
            self._was_good = False
            reason = "Valkey takes its password no more; systemd starts it again with the one on disk"
            record("secrets", level=logging.WARNING, action="ending", reason=reason)
            self._end()
