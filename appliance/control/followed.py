"""Takes over secrets that were rotated while the service runs, on this host or on another one.

They stand sealed in Valkey (`appliance.state.shared_secrets`). The service looks once a second, before its
first request too, and notes what it holds: who rotates waits for that before the new secret is used. What
only this service holds it offers: a host that loses its files gets them back (`appliance.secrets.making`).
The pepper of the stream keys it offers, and takes over none: its own made the digests that are kept.
Without Valkey what was held before holds on, and nothing is rotated.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record
from appliance.control.stale_password import StalePassword
from appliance.secrets.rotating import HELD, ROTATING
from appliance.state.shared_secrets import HELD_SECONDS, Sealed, SealError, SharedSecrets, field_of
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.control.secrets import Secrets
    from appliance.state.valkey import State

_LOOK_SECONDS: Final = 1.0
_NOTE_LOOKS: Final = HELD_SECONDS // 4
_ANOTHER: Final = (
    "other hosts have another one, so that stream keys made here are good here alone; remove the file "
    "{name}, run site.yml on this host and make its stream keys anew"
)


class Followed:
    """The task of one control service; `host` is the name that it notes what it holds under."""

    def __init__(self, secrets: Secrets, state: State, host: str) -> None:
        self._secrets = secrets
        self._shared = SharedSecrets(state)
        self._host = host
        self._password = StalePassword()
        self._noted: dict[str, int] = {}
        self._looks = 0
        self._refused: dict[str, str] = {}

    async def run(self) -> None:
        """Looks for ever."""
        while True:
            await self.look()
            await asyncio.sleep(_LOOK_SECONDS)

    async def end(self) -> None:
        """The service ends: who rotates need not wait for it."""
        with contextlib.suppress(StateUnavailableError):
            await self._shared.forget_held(self._host)

    async def look(self) -> None:
        """Takes over what is newer, offers what is newer here, and notes what is held. It never raises."""
        try:
            fields = await self._shared.all()
            self._password.answered()
            for name in HELD:
                await self._compare(name, fields.get(field_of(name, self._host)))
            await self._note()
        except StateUnavailableError as error:
            self._password.failed(error)  # the reconciler says so; the next look is in a second
        # Broad on purpose, as in the reconciler: nobody awaits this task before the service ends. By its type
        # only: the text may hold a part of a secret.
        except Exception as error:  # noqa: BLE001
            record("secrets", level=logging.ERROR, reason=type(error).__name__)

    async def _compare(self, name: str, field: str | None) -> None:
        held, keyring = self._secrets.held(name), self._secrets.keyring
        where = field_of(name, self._host)
        version, generation = -1, -1
        if field is not None:
            try:
                sealed = Sealed.parse(where, field)
                version, generation = sealed.version, sealed.generation
                found = sealed.instead_of(held, keyring)
                if found is not None and name not in ROTATING:
                    self._refuse(name, _ANOTHER.format(name=name))
                    return
                if found is not None:
                    held = found
                    self._secrets.take_over(name, held)
                    record("secrets", action="taken over", secret=name, version=version)
                self._refused.pop(name, None)
            except SealError as error:
                self._refuse(name, str(error))
        # Sealed anew, too, when another master key has become the current one: the old ones are forgotten.
        if held.version > version or (held.version == version and keyring.current > generation):
            sealed = Sealed.seal(where, held.version, held.dumps(), keyring)
            await self._shared.offer(sealed, instead_of=held.version)

    def _refuse(self, name: str, reason: str) -> None:
        if self._refused.get(name) != reason:
            self._refused[name] = reason
            record("secrets", level=logging.WARNING, action="refused", secret=name, reason=reason)

    async def _note(self) -> None:
        versions = {name: self._secrets.held(name).version for name in ROTATING}
        if versions != self._noted or self._looks % _NOTE_LOOKS == 0:
            await self._shared.note_held(self._host, versions)
            self._noted = versions
        self._looks += 1
