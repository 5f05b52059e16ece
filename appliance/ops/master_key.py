"""How a new master key comes to where it is needed, in an order that refuses no viewer a key.

    1. the keyring on disk gets the new generation as its *next* one
    2. the control service starts anew with it; connections wait in its socket meanwhile
    3. the next generation becomes the current one on disk: units that start from now on use it
    4. every running stream is handed the keyring and makes its next content key from it

Whatever fails between two steps, every key that is in use can be answered for, and the same call again goes
on where it stopped: a next generation on disk stands for an unfinished 2 or 3, a stream that has another
generation for an unfinished 4.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_OSERR, EX_UNAVAILABLE, OperatorError
from appliance.media.stream_client import NoStreamError, StreamSilentError
from appliance.secrets.content_keys import KeyId
from appliance.secrets.credentials import locked, replace_credential
from appliance.secrets.keyring import Keyring
from appliance.systemctl import SystemctlError, systemctl

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from pathlib import Path

    from appliance.media.stream_client import StreamClient

CONTROL_UNIT: Final = "appliance-control.service"
_RESTART_SECONDS: Final = 90


def restart_control() -> None:
    """Starts the control service anew; returns when it says that it is ready. Raises OperatorError."""
    try:
        systemctl("restart", CONTROL_UNIT, seconds=_RESTART_SECONDS)
    except SystemctlError as error:
        raise OperatorError(
            f"{CONTROL_UNIT} did not start anew with the keyring: {error}",
            exit_code=EX_OSERR,
            hint=f"see why: journalctl -u {CONTROL_UNIT}; every stream has its old key; "
            "the same command goes on",
        ) from None


@dataclass(frozen=True, slots=True)
class Kept:
    """Why a generation may not be forgotten."""

    number: int
    reason: str


class MasterKey:
    """The master key of this host.

    Parameters
    ----------
    path
        The keyring on disk, from which systemd gives each unit its copy.
    streams
        Those that run here.
    restart
        Starts the control service anew; raises OperatorError when that fails.
    say
        Takes a line for the operator.
    """

    def __init__(
        self,
        path: Path,
        streams: StreamClient,
        *,
        restart: Callable[[], None] = restart_control,
        say: Callable[[str], None] = print,
    ) -> None:
        self._path = path
        self._streams = streams
        self._restart = restart
        self._say = say

    def rotate(self) -> None:
        """Makes a new generation current everywhere, or finishes the rotation that has begun.

        Raises OperatorError when a part does not take it; the same call again goes on from there.
        """
        with locked(self._path.parent):
            keyring = Keyring.load(self._path)
            if keyring.next is None and self._behind(keyring):
                self._say(f"generation {keyring.current} is not with every stream yet; no new one is made")
            elif keyring.next is None:
                keyring = keyring.with_next()
            self._finish(keyring)

    def finish(self) -> None:
        """Finishes a rotation that has begun; nothing happens when there is none. Raises as `rotate` does."""
        with locked(self._path.parent):
            keyring = Keyring.load(self._path)
            if keyring.next is not None or self._behind(keyring, or_silent=True):
                self._finish(keyring)
            else:
                self._say(f"nothing was cut short: generation {keyring.current} is current everywhere")

    def purge(
        self,
        named: Mapping[str, Collection[str]],
        longest_need: float,
        *,
        only: Collection[int] = (),
        agree: Callable[[list[int]], bool] = lambda _: True,
    ) -> tuple[list[int], list[Kept]]:
        """Forgets the generations that nothing playable needs, everywhere on this host.

        Parameters
        ----------
        named
            Key ids that the media on disk names, by stream.
        longest_need
            Seconds that a key may be needed at most after its generation was retired; on another host, too,
            whose media is not seen here.
        only
            These alone; empty for all. Raises OperatorError when one of them has to stay.
        agree
            Is asked with what would go; nothing happens unless it returns true.

        Returns what went (or would have gone) and what of the rest stays for which reason.
        """
        with locked(self._path.parent):
            keyring = Keyring.load(self._path)
            kept = _kept(keyring, named, timedelta(seconds=longest_need))
            self._require_purgeable(keyring, kept, only)
            going = sorted(set(only or keyring.generations) - {item.number for item in kept})
            if going and agree(going):
                left = keyring.without(going)
                replace_credential(self._path, left.dumps())
                self._restart()
                self._hand_over(left)
            return going, kept

    def _finish(self, keyring: Keyring) -> None:
        if keyring.next is not None:
            replace_credential(self._path, keyring.dumps())
            self._restart()
            keyring = keyring.promoted()
            replace_credential(self._path, keyring.dumps())
            self._say(f"generation {keyring.current} is the current one; {CONTROL_UNIT} has it")
        self._hand_over(keyring)

    def _behind(self, keyring: Keyring, *, or_silent: bool = False) -> bool:
        """Whether a stream has another generation than the current one, or (`or_silent`) does not answer.

        One that hangs does not keep the others from a new key: it is named when it does not take it.
        """
        for stream in self._streams.running():
            try:
                generation = self._streams.key(stream).generation
            except NoStreamError:
                continue
            except StreamSilentError:
                if or_silent:
                    return True
            else:
                if generation not in {None, keyring.current}:
                    return True
        return False

    def _hand_over(self, keyring: Keyring) -> None:
        failed = []
        for stream in self._streams.running():
            try:
                if self._streams.key(stream).generation is None:
                    continue
                self._streams.hand_over(stream, keyring)
            except NoStreamError:
                continue
            except StreamSilentError as error:
                failed.append(str(error))
            else:
                self._say(f"{stream}: has generation {keyring.current}, in use from its next segment on")
        if failed:
            raise OperatorError(
                "; ".join(failed),
                exit_code=EX_UNAVAILABLE,
                hint="it plays on under its old key; try again: appliance keys rotate --master --finish",
            )

    def _require_purgeable(self, keyring: Keyring, kept: list[Kept], only: Collection[int]) -> None:
        reasons = {item.number: item.reason for item in kept}
        for number in only:
            reason = reasons.get(number) if number in keyring.generations else "is not in the keyring"
            if reason is not None:
                raise OperatorError(
                    f"generation {number} {reason}", hint="see which there are: appliance keys list"
                )


def _kept(keyring: Keyring, named: Mapping[str, Collection[str]], longest: timedelta) -> list[Kept]:
    by_generation: dict[int, set[str]] = {}
    for stream, kids in named.items():
        for kid in kids:
            by_generation.setdefault(KeyId.parse(kid).generation, set()).add(stream)
    newest = max(item.created for item in keyring.generations.values())
    kept = []
    for number, item in sorted(keyring.generations.items()):
        needed_until = (item.retired or newest) + longest
        if number == keyring.current:
            kept.append(Kept(number, "is the current one"))
        elif number == keyring.next:
            kept.append(Kept(number, "is the next one: finish with appliance keys rotate --master --finish"))
        elif streams := sorted(by_generation.get(number, ())):
            kept.append(Kept(number, f"is needed by what can be played of {', '.join(streams)}"))
        elif datetime.now(UTC) < needed_until:
            kept.append(Kept(number, f"may be needed until {needed_until.isoformat(timespec='seconds')}"))
        elif number == max(keyring.generations):
            kept.append(Kept(number, "has the highest number, which must not be given again"))
    return kept
