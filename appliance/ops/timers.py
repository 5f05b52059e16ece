"""What systemd says of the timers that rotate keys and secrets."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from appliance.errors import EX_OSERR, OperatorError
from appliance.secrets.schedule import WANTS
from appliance.systemctl import SystemctlError, systemctl

_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer. `after` is its next time, `last` the last one; None where there is none.

    `enabled` is since when systemd keeps it. After a reboot it calls that, too, the last time of one that is
    made up for (`Persistent=`, systemd.timer(5)) and has not had any yet.
    """

    active: bool
    after: datetime | None
    last: datetime | None
    enabled: datetime | None = None


def ask_timer(unit: str, wants: Path = WANTS) -> Timer:
    """What systemd says of the timer `unit`. Raises OperatorError when it says nothing."""
    # In JSON the times are microseconds; `systemctl show` writes them for people.
    try:
        printed = systemctl("list-timers", "--all", "--output=json", unit, seconds=_SECONDS)
        return replace(parse_timer(printed, unit), enabled=_written(wants / unit))
    except (OSError, SystemctlError, ValueError) as error:
        raise OperatorError(
            f"systemd does not say when {unit} is due: {error}",
            exit_code=EX_OSERR,
            hint=f"see why: systemctl status {unit}",
        ) from None


def parse_timer(printed: str, unit: str) -> Timer:
    """What `systemctl list-timers --output=json` (systemctl(1)) says of `unit`.

    One that is stopped has no next time. Raises ValueError when it is no such list.
    """
    rows: Any = json.loads(printed)
    if not isinstance(rows, list):
        raise ValueError("systemctl printed no list")  # noqa: TRY004 - of its text, not of ours
    found = next((row for row in rows if isinstance(row, dict) and row.get("unit") == unit), {})
    after = _time(found.get("next"))
    return Timer(after is not None, after, _time(found.get("last")))


def _written(link: Path) -> datetime | None:
    try:
        return datetime.fromtimestamp(link.lstat().st_mtime, UTC)
    except FileNotFoundError:
        return None


def _time(microseconds: object) -> datetime | None:
    """A time in microseconds since 1970; null, 0 and what is out of range are none."""
    if isinstance(microseconds, bool) or not isinstance(microseconds, int) or microseconds <= 0:
        return None
    try:
        return datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
