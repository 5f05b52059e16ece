"""What the endpoints share: the settings, the secrets and the service's neighbours."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final, Self

from appliance.control.admission import Admission
from appliance.control.backend.service import Backend
from appliance.control.drop import Dropper
from appliance.control.followed import Followed
from appliance.control.metrics.requests import RequestTally
from appliance.control.needed_keys import NeededKeys
from appliance.control.readers import Readers
from appliance.control.stat import IngestStat
from appliance.control.traffic import Traffic
from appliance.control.units import StreamUnits
from appliance.control.view.policy import RegistryPolicy
from appliance.control.view.watching import Viewers
from appliance.state.api_tokens import ApiTokens
from appliance.state.bans import Bans
from appliance.state.counters import Counters
from appliance.state.leases import Leases
from appliance.state.registry import Registry
from appliance.state.sessions import Sessions
from appliance.state.valkey import State
from appliance.state.viewers import ViewerSessions

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.control.secrets import Secrets
    from appliance.secrets.keyring import Keyring
    from appliance.secrets.token_keys import TokenKeys
    from appliance.settings import Settings

FAILURE_WINDOW_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """One running control service. `host` names this ingest host in leases; `backend` is None without one."""

    settings: Settings
    host: str
    secrets: Secrets
    followed: Followed
    keyring: Keyring
    needed_keys: NeededKeys
    token_keys: Callable[[], TokenKeys]
    view_policy: RegistryPolicy
    state: State
    leases: Leases
    counters: Counters
    registry: Registry
    bans: Bans
    api_tokens: ApiTokens
    stream_key_pepper: bytes = field(repr=False)
    dropper: Dropper
    sessions: Sessions
    viewer_sessions: ViewerSessions
    viewers: Viewers
    ingest: IngestStat
    units: StreamUnits
    readers: Readers
    admission: Admission
    backend: Backend | None
    requests: RequestTally
    traffic: Traffic
    closing: asyncio.Event
    """Set when the service is about to end: whoever is answered without an end is let go."""

    @classmethod
    def build(cls, settings: Settings, secrets: Secrets) -> Self:
        """Puts the parts together; nothing connects yet."""
        state = State(Path(settings.valkey_socket), secrets.valkey_password)
        registry, viewer_sessions = Registry(state), ViewerSessions(state)
        host = settings.node or socket.gethostname()
        leases = Leases(state, settings.lease_seconds)
        return cls(
            settings=settings,
            host=host,
            secrets=secrets,
            followed=Followed(secrets, state, host),
            keyring=secrets.keyring,
            needed_keys=NeededKeys(Path(settings.media_root), settings),
            token_keys=secrets.token_keys,
            view_policy=RegistryPolicy(registry, settings),
            state=state,
            leases=leases,
            counters=Counters(state),
            registry=registry,
            bans=Bans(
                state,
                failures=settings.publish_failures,
                window_seconds=FAILURE_WINDOW_SECONDS,
                ban_seconds=settings.ban_seconds,
            ),
            api_tokens=ApiTokens(state),
            stream_key_pepper=secrets.stream_key_pepper().encode(),
            dropper=Dropper(state, Path(settings.ingest_control_socket)),
            sessions=Sessions(state),
            viewer_sessions=viewer_sessions,
            viewers=Viewers(viewer_sessions),
            ingest=IngestStat(settings.stat_url),
            units=StreamUnits(),
            readers=Readers(),
            admission=Admission(settings, host, leases, registry),
            backend=Backend.build(settings, secrets, state, host),
            requests=RequestTally(),
            traffic=Traffic(target_seconds=settings.segment_seconds),
            closing=asyncio.Event(),
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self.dropper.close()
        if self.backend is not None:
            await self.backend.client.close()
        await self.state.close()
        await self.ingest.close()
        await self.units.close()
