"""What systemd says of the timers that rotate keys and secrets."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from appliance.errors import EX_OSERR, OperatorError

_SECONDS: Final = 10.0
_PROPERTIES: Final = ("ActiveState", "NextElapseUSecRealtime", "LastTriggerUSec")


@dataclass(frozen=True, slots=True)
class Timer:
    """One timer. `after` is its next time, `last` the last one; None where there is none."""

    active: bool
    after: datetime | None
    last: datetime | None


def ask_timer(unit: str) -> Timer:
    """What systemd says of the timer `unit`. Raises OperatorError when it says nothing."""
    command = ["systemctl", "show", "--timestamp=unix", f"--property={','.join(_PROPERTIES)}", unit]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=_SECONDS)
    except (OSError, subprocess.SubprocessError) as error:
        raise OperatorError(
            f"systemd does not say when {unit} is due: {error}",
            exit_code=EX_OSERR,
            hint=f"see why: systemctl status {unit}",
        ) from None
    return parse_timer(done.stdout)


def parse_timer(shown: str) -> Timer:
    """What `systemctl show --timestamp=unix` printed (systemctl(1))."""
    found = dict(line.partition("=")[::2] for line in shown.splitlines())
    return Timer(
        found.get("ActiveState") == "active",
        _time(found.get("NextElapseUSecRealtime", "")),
        _time(found.get("LastTriggerUSec", "")),
    )


def _time(text: str) -> datetime | None:
    """`@1767322800`; anything else is no time."""
    digits = text.removeprefix("@")
    if not (text.startswith("@") and digits.isascii() and digits.isdigit()) or int(digits) == 0:
        return None
    return datetime.fromtimestamp(int(digits), UTC)
