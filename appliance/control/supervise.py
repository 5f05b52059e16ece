"""Whether those who publish on this host still may: their key was not revoked, their limits are kept.

Limits are known once there are pictures, so they are looked at after the start. Who breaks one is dropped,
and kept out for a minute: most encoders come back at once, unchanged.

By which key somebody came is not known any more when Valkey has lost the lease and its record while the
service was not there to know it. Such a publisher goes on, which is said, and is dropped with the next
revocation of any key of its stream: if its own is good, its encoder comes back with it at once.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.drop import DropError
from appliance.control.gate import is_revoked
from appliance.control.troubles import Troubles
from appliance.media.status_reading import read_status
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from appliance.control.context import Control
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.state.event_kinds import Ending
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
        self._troubles = Troubles("supervise")
        self._unknown: set[StreamName] = set()

    async def round(self, leases: Iterable[Lease]) -> None:
        """Looks at each of `leases` that this host holds. Raises StateUnavailableError."""
        own = [lease for lease in leases if lease.host == self._control.host]
        for lease in own:
            if lease.key_id:
                await self._look(lease)
        await self._look_at_keyless([lease for lease in own if not lease.key_id])
        seen = {lease.stream for lease in own}
        self._exceeded_since = {
            stream: since for stream, since in self._exceeded_since.items() if stream in seen
        }

    async def _look(self, lease: Lease) -> None:
        entry = await self._control.registry.look(lease.stream, lease.key_id)
        if entry.stream is None:
            await self._drop(lease, "the stream is not registered any more", "revoked")
        elif entry.key is None or is_revoked(entry.key, datetime.now(UTC)):
            await self._drop(lease, f"its key {lease.key_id} was revoked", "revoked")
        else:
            await self._look_at_limits(lease, entry.stream.limits)

    async def _look_at_limits(self, lease: Lease, limits: Limits) -> None:
        if (reason := self._exceeds(lease, limits)) is not None:
            await self._control.registry.keep_out(lease.stream, reason, KEPT_OUT_SECONDS)
            await self._drop(lease, reason, "limit")

    async def _look_at_keyless(self, leases: Sequence[Lease]) -> None:
        """Those of whom no key is known: nobody asks for one, or it is lost."""
        found = await self._control.registry.many([lease.stream for lease in leases])
        unknown, before = set(), self._unknown
        for lease in leases:
            stream = found[lease.stream]
            if isinstance(stream, StateUnavailableError):
                raise stream
            if stream is None and lease.stream in self._control.settings.allowed_stream_keys:
                continue
            unknown.add(lease.stream)
            mend = f"appliance streams drop {lease.stream} has its encoder come back with its key"
            if stream is None:
                self._troubles(f"it is not registered any more; {mend}", part=lease.stream)
                continue
            self._troubles(f"it is not known which key let its publisher in; {mend}", part=lease.stream)
            if await self._any_revoked(lease):
                await self._drop(
                    lease, "a key of it was revoked, and by which it came is not known", "revoked"
                )
            else:
                await self._look_at_limits(lease, stream.limits)
        self._unknown = unknown
        for name in before - unknown:
            self._troubles(None, part=name)

    async def _any_revoked(self, lease: Lease) -> bool:
        """Whether a key of the stream was revoked since the lease was taken, or all of them were."""
        keys = await self._control.registry.keys(lease.stream)
        now, taken = datetime.now(UTC), datetime.fromisoformat(lease.started_at)
        over = [key for key in keys if is_revoked(key, now)]
        later = [key for key in over if datetime.fromisoformat(key.revoked_at or lease.started_at) > taken]
        return bool(later) or (bool(keys) and len(over) == len(keys))

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

    async def _drop(self, lease: Lease, reason: str, ending: Ending) -> None:
        try:
            await self._control.dropper.drop(lease, reason, ending=ending)
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
