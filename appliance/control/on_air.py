"""Which life of a stream a publisher's media went into: the line that joins the logs of all parts.

A publish has a session of its own (`publication` in this service's log, `session` in the backend's events).
What is made of it has an epoch, which stands in every address of a segment, in delivery's log and in what
the stream's process says. Neither knows the other's: the line `on_air` has both, once for each pair.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

from appliance.control.audit import record, untrusted
from appliance.media.status import State
from appliance.media.status_reading import read_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.control.context import Control
    from appliance.names import StreamName
    from appliance.state.lease import Lease


class OnAir:
    """Looks at the streams of this host."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._noted: dict[StreamName, tuple[str, str]] = {}

    def look(self, leases: Iterable[Lease]) -> None:
        """Logs each pair that is new among `leases`, which are those of all hosts."""
        own = {lease.stream: lease for lease in leases if lease.host == self._control.host}
        self._noted = {stream: pair for stream, pair in self._noted.items() if stream in own}
        for stream, lease in own.items():
            status = read_status(Path(self._control.settings.media_root) / stream)
            if status is None or not status.fresh(time.time()) or status.text("state") != State.LIVE.value:
                continue
            epoch = status.text("media", "epoch")
            if epoch is None or self._noted.get(stream) == (lease.session, epoch):
                continue
            self._noted[stream] = (lease.session, epoch)
            record(
                "on_air",
                stream=stream,
                publication=lease.session,
                epoch=untrusted(epoch),
                client_ip=untrusted(lease.client_ip),
            )
