"""How a new secret comes to where it is needed, in an order that refuses nobody.

    1. what another host, or a run that was cut short, has made already is taken over instead of a new one
    2. the new one goes to Valkey, sealed; every control service takes it over within a second
    3. each of them has said that it holds it: what is shown or signed with it is good everywhere
    4. it is written to disk, from which commands and units that start take what they show or sign with

The old one is good for its grace. Valkey's own password has a step before these, Valkey takes the new one
too, and one behind them, Valkey takes the new one alone. Whatever fails between two steps, both are good, and
the same call again goes on. So each host may have the same timer: in each period one of them makes a new one.

With a grace of its own (`--grace-seconds`, for one that leaked) what was made already is not enough: who made
it left the one before good for longer. It is taken over, and replaced.
"""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_CONFIG, EX_UNAVAILABLE, OperatorError
from appliance.media.stream_client import NoStreamError, StreamSilentError
from appliance.ops import valkey_password
from appliance.ops.fleet_secrets import FleetSecrets
from appliance.secrets.credentials import (
    CONTENT_KEYRING,
    READER_SECRET,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
    locked,
    replace_credential,
)
from appliance.secrets.dated_secrets import DatedSecrets
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import ROTATING, Rotating, read_rotating, replaced
from appliance.state.event_kinds import key_rotated
from appliance.state.events import Events
from appliance.state.shared_secrets import Sealed, SharedSecrets, field_of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.media.stream_client import StreamClient
    from appliance.settings import Settings
    from appliance.state.valkey import State

HELD_WITHIN_SECONDS: Final = 30.0
"""Control services look once a second. Longer than HELD_SECONDS: who was killed is not waited for."""

_POLL_SECONDS: Final = 0.1


def grace_of(name: str, known: Settings) -> timedelta:
    """How long the one before is good. No view token ends early; Valkey's password is not kept at all."""
    if name == VALKEY_PASSWORD:
        return timedelta(0)
    if name == VIEW_TOKEN_KEYS:
        return timedelta(seconds=known.view_token_max_seconds)
    if name == WEBHOOK_SECRET:
        return timedelta(seconds=known.webhook_secret_grace_seconds)
    return timedelta(seconds=known.internal_secret_grace_seconds)


@dataclass(frozen=True, slots=True)
class Rotation:
    """The rotating credentials of this host.

    Parameters
    ----------
    directory
        Where they live.
    known
        The settings of this host: how long replaced ones are good, and whether a backend is told.
    host
        This host's name, as its control service has it.
    state
        The Valkey that this host shares with the others; it shows the password that is on disk.
    streams
        Those that run here.
    acl_file
        Valkey's file of users.
    say
        Takes a line for the operator.
    """

    directory: Path
    known: Settings
    host: str
    state: State
    streams: StreamClient
    acl_file: Path = valkey_password.ACL_FILE
    say: Callable[[str], None] = print

    async def rotate(self, name: str, *, grace: timedelta | None = None) -> None:
        """Replaces the credential `name`; the ones before are good for `grace`, None as the settings say.

        Raises OperatorError when a part does not take it, StateUnavailableError without Valkey.
        """
        with locked(self.directory):
            while True:
                present = read_rotating(self.directory, name)
                _refuse_chosen(name, present)
                newer = await self._shared.newer(name, present)
                if newer is not None and grace is None:
                    await self._bring(name, present, newer, fresh=False)
                    self.say(f"{name}: took over the one made already, by another host or a run cut short")
                    return
                present = newer or present
                _refuse_chosen(name, present)
                new = replaced(name, present, grace_of(name, self.known) if grace is None else grace)
                # What another host made in the same moment has that one's grace.
                if await self._bring(name, present, new, fresh=True) == new or grace is None:
                    self.say(f"{name}: a new one is in use")
                    return

    async def take_over(self, name: str) -> Rotating:
        """The credential `name`, after what another host has made of it meanwhile was written to disk.

        Raises OperatorError, and StateUnavailableError without Valkey.
        """
        with locked(self.directory):
            present = read_rotating(self.directory, name)
            new = await self._shared.newer(name, present)
            if new is None:
                return present
            replace_credential(self.directory / name, new.dumps())
            return new

    @property
    def _shared(self) -> FleetSecrets:
        return FleetSecrets(self.directory, self.host, self.state)

    async def _bring(self, name: str, present: Rotating, new: Rotating, *, fresh: bool) -> Rotating:
        """Returns what is in use then, see `_offer`."""
        path = self.directory / name
        if name == VALKEY_PASSWORD:
            await valkey_password.allow(self.state, [*_texts(new), *_texts(present)], self.acl_file)
        new = await self._offer(name, present, new, fresh=fresh)
        replace_credential(path, new.dumps())
        if name == VALKEY_PASSWORD:
            await valkey_password.allow_only(self.state, _texts(new), self.acl_file)
        if name == READER_SECRET:
            await asyncio.to_thread(self._hand_over, _texts(new)[0])
        return new

    async def _offer(self, name: str, present: Rotating, new: Rotating, *, fresh: bool) -> Rotating:
        """Returns what every control service that needs it holds then.

        That is `new`, or what another host has made in the same moment.
        """
        shared, where = SharedSecrets(self.state), field_of(name, self.host)
        keyring = Keyring.load(self.directory / CONTENT_KEYRING)
        sealed = Sealed.seal(where, new.version, new.dumps(), keyring)
        if await shared.offer(sealed, instead_of=present.version):
            if fresh:
                await self._tell(name, new)
        else:
            new = await self._shared.newer(name, present) or new
        host = None if ROTATING[name].shared else self.host
        deadline = time.monotonic() + HELD_WITHIN_SECONDS
        while True:
            held = await shared.held(name, host)
            lacking = sorted(one for one, version in held.items() if version < new.version)
            if not lacking:
                return new
            if time.monotonic() > deadline:
                raise OperatorError(
                    f"{name}: the control service of {', '.join(lacking)} did not take the new one over "
                    f"within {HELD_WITHIN_SECONDS:g} s; {_meanwhile(name)}",
                    exit_code=EX_UNAVAILABLE,
                    hint=f"see why: journalctl -u appliance-control; again: appliance secrets rotate {name}",
                )
            await asyncio.sleep(_POLL_SECONDS)

    def _hand_over(self, secret: str) -> None:
        failed = []
        for stream in self.streams.running():
            try:
                self.streams.hand_over_reader_secret(stream, secret)
            except NoStreamError:
                continue
            except StreamSilentError as error:
                failed.append(str(error))
        if failed:
            raise OperatorError(
                "; ".join(failed),
                exit_code=EX_UNAVAILABLE,
                hint="it reads on under its old secret, which is good for internal_secret_grace_seconds "
                f"more; try again: appliance secrets rotate {READER_SECRET}",
            )

    async def _tell(self, name: str, new: Rotating) -> None:
        """The backend hears of what concerns it; not of what this host's own parts show each other."""
        if self.known.http_callback_url and ROTATING[name].shared:
            await Events(self.state).add(key_rotated(name, host=self.host, kid=new.kid))


def _refuse_chosen(name: str, present: Rotating) -> None:
    if present.given:
        raise OperatorError(
            f"{name}: the operator chose it (WEBHOOK_SECRET, control_webhook_secret), and a "
            "rotation would put another one in its place",
            exit_code=EX_CONFIG,
            hint="change that setting and run playbooks/site.yml; the one before is good meanwhile",
        )


def _meanwhile(name: str) -> str:
    if name == VALKEY_PASSWORD:
        return "Valkey takes both, and commands show the one before, until a rotation is through"
    return "the one before stays in use"


def _texts(secrets: Rotating) -> tuple[str, ...]:
    return secrets.texts(datetime.now(UTC)) if isinstance(secrets, DatedSecrets) else ()
