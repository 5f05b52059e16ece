"""What the endpoints share: the settings, the secrets and the service's neighbours."""

from __future__ import annotations

import socket
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from appliance.control.backend.service import Backend
from appliance.control.needed_keys import NeededKeys
from appliance.control.readers import Readers
from appliance.control.stat import IngestStat
from appliance.control.units import StreamUnits
from appliance.secrets.keyring import Keyring
from appliance.state.counters import Counters
from appliance.state.lease import Leases
from appliance.state.valkey import State

if TYPE_CHECKING:
    from appliance.control.secrets import Secrets
    from appliance.settings import Settings


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One running control service. `host` names this ingest host in leases; `backend` is None without one."""

    settings: Settings
    host: str
    reader_secret: str
    keyring: Keyring
    needed_keys: NeededKeys
    state: State
    leases: Leases
    counters: Counters
    ingest: IngestStat
    units: StreamUnits
    readers: Readers
    backend: Backend | None

    @classmethod
    def build(cls, settings: Settings, secrets: Secrets) -> Self:
        """Puts the parts together; nothing connects yet.

        Raises OperatorError when the content keyring cannot be read.
        """
        state = State(Path(settings.valkey_socket), secrets.valkey_password)
        host = settings.node or socket.gethostname()
        return cls(
            settings=settings,
            host=host,
            reader_secret=secrets.reader_secret,
            keyring=Keyring.load(secrets.content_keyring),
            needed_keys=NeededKeys(Path(settings.media_root), settings),
            state=state,
            leases=Leases(state, settings.lease_seconds),
            counters=Counters(state),
            ingest=IngestStat(settings.stat_url),
            units=StreamUnits(),
            readers=Readers(),
            backend=Backend.build(settings, secrets, state, host),
        )

    async def close(self) -> None:
        """Closes every connection."""
        if self.backend is not None:
            await self.backend.client.close()
        await self.state.close()
        await self.ingest.close()
        await self.units.close()
