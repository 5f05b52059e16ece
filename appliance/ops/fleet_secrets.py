"""What Valkey has of a rotating secret, for the commands of a host: what is in use, or a first one."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from appliance.errors import EX_CONFIG, OperatorError
from appliance.secrets.credentials import CONTENT_KEYRING
from appliance.secrets.keyring import Keyring
from appliance.secrets.moment import after
from appliance.secrets.rotating import HELD
from appliance.state.shared_secrets import Sealed, SealError, SharedSecrets, field_of

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.secrets.rotating import Rotating
    from appliance.state.valkey import State

_NOTHING = -1
"""Older than every version: `offer` takes one instead of this only where there is none."""


@dataclass(frozen=True, slots=True)
class FleetSecrets:
    """What stands in Valkey, sealed, for the host `host`. Every method raises StateUnavailableError.

    Parameters
    ----------
    directory
        Where this host's credentials live; the keyring of them opens what is sealed.
    host
        This host's name, as its control service has it.
    state
        The Valkey that this host shares with the others.
    """

    directory: Path
    host: str
    state: State

    async def newer(self, name: str, present: Rotating) -> Rotating | None:
        """What goes before `present`; None when nothing does.

        Raises OperatorError when it is later and cannot be opened.
        """
        version, found = await self._look(name, present)
        if isinstance(found, SealError):
            if version <= present.version:
                return None
            raise _cannot_be_opened(found)
        return found

    async def known(self, name: str, present: Rotating | None = None) -> Rotating | None:
        """The same, or with `present` None whatever is there; None, too, for what is nobody's any more.

        That is what this host cannot open while no other one runs. Raises OperatorError when one does.
        """
        return (await self._known(name, present))[1]

    async def agreed(self, name: str) -> Rotating:
        """What is there, else one that is drawn and stands there from now on. Raises as `known` does."""
        while True:
            version, found = await self._known(name, None)
            if found is not None:
                return found
            # A time only where something is to be outdone: what is drawn must not outdo what others have.
            created = None
            if version != _NOTHING:
                created = after(datetime.fromtimestamp(version / 1000, UTC), datetime.now(UTC))
            drawn = HELD[name].drawn(created)
            where = field_of(name, self.host)
            sealed = Sealed.seal(where, drawn.version, drawn.dumps(), self._keyring())
            if await SharedSecrets(self.state).offer(sealed, instead_of=version):
                return drawn

    async def _known(self, name: str, present: Rotating | None) -> tuple[int, Rotating | None]:
        version, found = await self._look(name, present)
        if not isinstance(found, SealError):
            return version, found
        if HELD[name].shared:
            running = await SharedSecrets(self.state).held(name)
            if others := sorted(running.keys() - {self.host}):
                raise _cannot_be_opened(found, f", which {', '.join(others)} may use")
        return version, None

    async def _look(self, name: str, present: Rotating | None) -> tuple[int, Rotating | SealError | None]:
        """Which version is there, and what it is where that goes before `present`."""
        where, version = field_of(name, self.host), 0
        field = (await SharedSecrets(self.state).all()).get(where)
        if field is None:
            return _NOTHING, None
        try:
            sealed = Sealed.parse(where, field)
            version = sealed.version
            return version, sealed.instead_of(present, self._keyring())
        except SealError as error:
            return version, error

    def _keyring(self) -> Keyring:
        return Keyring.load(self.directory / CONTENT_KEYRING)


def _cannot_be_opened(error: SealError, who: str = "") -> OperatorError:
    return OperatorError(
        f"{error} (in Valkey{who})",
        exit_code=EX_CONFIG,
        hint="hosts of one site have one HLS_ENCRYPTION_KEY; where that changed, "
        "`appliance valkey HDEL appliance:secrets NAME` forgets what cannot be opened any more",
    )
