"""Whether those who publish on this host still may: their key was not revoked, their limits are kept.

Limits are known once there are pictures, so they are looked at after the start. Who breaks one is dropped,
and kept out for a minute: most encoders come back at once, unchanged.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.drop import DropError
from appliance.control.gate import is_revoked
from appliance.media.status_reading import read_status

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.control.context import Control
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.state.lease import Lease
    from appliance.state.registry import Limits

PATIENCE_SECONDS: Final = 5.0
"""How long a limit may be exceeded: a bitrate is known over five seconds, and an encoder may settle."""

KEPT_OUT_SECONDS: Final = 60


class Supervisor:
    """Looks at the publishers of this host, round by round."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._exceeded_since: dict[StreamName, float] = {}

    async def round(self, leases: Iterable[Lease]) -> None:
        """Looks at each of `leases` that this host holds by a key. Raises StateUnavailableError."""
        seen = set()
        for lease in leases:
            if lease.key_id and lease.host == self._control.host:
                seen.add(lease.stream)
                await self._look(lease)
        self._exceeded_since = {
            stream: since for stream, since in self._exceeded_since.items() if stream in seen
        }

    async def _look(self, lease: Lease) -> None:
        entry = await self._control.registry.look(lease.stream, lease.key_id)
        if entry.stream is None:
            await self._drop(lease, "the stream is not registered any more")
        elif entry.key is None or is_revoked(entry.key, datetime.now(UTC)):
            await self._drop(lease, f"its key {lease.key_id} was revoked")
        elif (reason := self._exceeds(lease, entry.stream.limits)) is not None:
            await self._control.registry.keep_out(lease.stream, reason, KEPT_OUT_SECONDS)
            await self._drop(lease, reason)

    def _exceeds(self, lease: Lease, limits: Limits) -> str | None:
        """In words, which of `limits` has been exceeded for too long; None while none is."""
        lasted = time.time() - datetime.fromisoformat(lease.started_at).timestamp()
        if limits.seconds is not None and lasted > limits.seconds:
            return f"it lasted for {lasted:.0f} s; allowed are {limits.seconds}"
        status = read_status(Path(self._control.settings.media_root) / lease.stream)
        reason = None if status is None or not status.fresh(time.time()) else exceeded(status, limits)
        if reason is None:
            self._exceeded_since.pop(lease.stream, None)
            return None
        since = self._exceeded_since.setdefault(lease.stream, time.monotonic())
        return reason if time.monotonic() - since >= PATIENCE_SECONDS else None

    async def _drop(self, lease: Lease, reason: str) -> None:
        try:
            await self._control.dropper.drop(lease.stream, reason)
        except DropError as error:
            # The next round asks again.
            record("drop", stream=lease.stream, reason=str(error))


def exceeded(status: Reading, limits: Limits) -> str | None:
    """Returns in words which of `limits` the source in `status` exceeds now; None when it keeps them."""
    measured = (
        ("kbit/s", status.number("bitrate_kbps"), limits.kbps),
        ("pixels wide", status.number("source", "video", "width"), limits.width),
        ("pixels high", status.number("source", "video", "height"), limits.height),
        ("pictures a second", status.number("source", "video", "fps"), limits.fps),
    )
    for unit, value, most in measured:
        if value is not None and most is not None and value > most:
            return f"it has {value:g} {unit}; allowed are {most:g}"
    return None
