"""How old each secret of this host is, when it is replaced, until when old ones are good. Never a value."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from appliance.secrets.credentials import CONTENT_KEYRING, MASTER_KEY, STREAM_KEY_PEPPER
from appliance.secrets.keyring import Keyring
from appliance.secrets.rotating import ROTATING, read_rotating
from appliance.secrets.schedule import CONTENT_KEYS, INTERNAL, TIMERS, TURNS

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from appliance.media.stream_client import KeyInUse
    from appliance.ops.timers import Timer

_LATE: Final = timedelta(minutes=15)
"""How long after its time a rotation may be at work."""

_STARTS: Final = timedelta(minutes=1)
"""How soon after it was enabled a timer is started: what systemd calls its last time then was none."""


@dataclass(frozen=True, slots=True)
class SecretStatus:
    """One row. `old_good_until`: the latest end of those that were replaced; `note` is for people."""

    name: str
    created: datetime | None
    next_rotation: datetime | None
    old_good_until: datetime | None
    overdue: bool
    note: str = ""

    def described(self) -> dict[str, Any]:
        """For JSON."""
        times = {key: value for key, value in asdict(self).items() if isinstance(value, datetime)}
        return asdict(self) | {key: value.isoformat(timespec="seconds") for key, value in times.items()}


def secret_status(
    directory: Path, timer: Callable[[str], Timer], live: Mapping[str, KeyInUse], now: datetime | None = None
) -> list[SecretStatus]:
    """Every secret of this host.

    Parameters
    ----------
    directory
        Where they live.
    timer
        Asks systemd for one of TIMERS.
    live
        The content keys of the streams that run here.

    Raises OperatorError when a secret cannot be read.
    """
    now = now or datetime.now(UTC)
    timers = {unit: timer(unit) for unit in dict.fromkeys(TIMERS.values())}

    def row(name: str, created: datetime | None, note: str, *, good: datetime | None = None) -> SecretStatus:
        its = timers.get(TIMERS.get(name, ""))
        if its is None or not its.active:
            return SecretStatus(name, created, None, good, overdue=False, note=note)
        return SecretStatus(name, created, its.after, good, overdue=_overdue(created, its, now), note=note)

    ages = [key.since for key in live.values() if key.since is not None]
    keyring = Keyring.load(directory / CONTENT_KEYRING)
    master = keyring.generations[keyring.current]
    kept = f"generation {keyring.current}; old ones stay while they are needed: appliance keys list"
    rows = [
        row(CONTENT_KEYS, min(ages, default=None), f"of {len(ages)} live streams"),
        row(MASTER_KEY, master.created, kept),
    ]
    for name in ROTATING:
        present = read_rotating(directory, name)
        made = present.created or _written(directory / name)
        note = "between the parts of this host" if name in INTERNAL else ""
        if present.kid is not None:
            note = f"kid {present.kid}"
        elif present.given:
            note = "chosen by the operator (WEBHOOK_SECRET), never rotated here"
        rows.append(row(name, made, note, good=present.good_until(now)))
    pepper = _written(directory / STREAM_KEY_PEPPER)
    return [*rows, row(STREAM_KEY_PEPPER, pepper, "stays: the digests of all stream keys are made with it")]


def _overdue(created: datetime | None, timer: Timer, now: datetime) -> bool:
    """Whether a time of `timer` has passed that brought nothing new."""
    if timer.after is not None and timer.after + _LATE < now:
        return True
    if created is None or timer.last is None or timer.last + _LATE > now:
        return False
    if timer.enabled is not None and timer.last < timer.enabled + _STARTS:
        return False
    return created < timer.last - TURNS


def _written(path: Path) -> datetime:
    """When the file was written: the first run on the host drew it, and nobody replaced it since."""
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)
