"""What the backend is told of streams that are live: ingest alerts and changed content keys.

What is known of a stream stands in its status file, which its process writes twice a second.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.control.backend.ingest_alerts import IngestAlerts
from appliance.control.backend.key_changes import KeyChanges
from appliance.control.troubles import Troubles
from appliance.media.status import State
from appliance.media.status_reading import read_status, streams_on_disk
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.settings import Settings
    from appliance.state.events import Events

_LOOK_SECONDS: Final = 1.0


class LiveWatch:
    """The task of one control service: looks once a second, for ever."""

    def __init__(self, events: Events, settings: Settings, host: str) -> None:
        self._events = events
        self._root = Path(settings.media_root)
        self._host = host
        self._alerts = IngestAlerts(settings)
        self._keys = KeyChanges(host)
        self._troubles = Troubles("live_watch")

    async def run(self) -> None:
        """Looks and tells, of changed content keys too. What fails is tried again a second later."""
        while True:
            try:
                live = await asyncio.to_thread(live_streams, self._root)
                for event in self._keys.look(live):
                    await self._events.add(event)
                for change in self._alerts.look(live):
                    await self._events.add(change.event(self._host))
                    self._alerts.told(change)
            except (OSError, StateUnavailableError) as error:
                self._troubles(str(error))
            # Broad on purpose, as in the reconciler: nobody awaits this task before the service ends.
            except Exception as error:  # noqa: BLE001
                self._troubles(type(error).__name__)
            else:
                self._troubles(None)
            await asyncio.sleep(_LOOK_SECONDS)


def live_streams(root: Path) -> dict[StreamName, Reading]:
    """What the processes of this host's live streams say now. Raises PermissionError."""
    now = time.time()
    found = {stream: read_status(root / stream) for stream in streams_on_disk(root)}
    return {
        stream: status
        for stream, status in found.items()
        if status is not None and status.fresh(now) and status.text("state") == State.LIVE.value
    }
