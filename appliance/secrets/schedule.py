"""When each secret is replaced by itself: the timers that do it, and by when one must have done it.

The timers are systemd's and have their calendars from the inventory (`control_rotate_…`), so what is late is
read from them, and no other place says how old a secret may be.
"""

from __future__ import annotations

import os
import re
import subprocess
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Final

from appliance.secrets.credentials import (
    ADMIN_TOKEN,
    MASTER_KEY,
    READER_SECRET,
    VALKEY_PASSWORD,
    VIEW_TOKEN_KEYS,
    WEBHOOK_SECRET,
)

CONTENT_KEYS: Final = "content-keys"

INTERNAL: Final = (READER_SECRET, ADMIN_TOKEN, VALKEY_PASSWORD)
"""What this host's own parts show each other; one timer for all."""

TIMERS: Final = {
    CONTENT_KEYS: "appliance-rotate-content-keys.timer",
    MASTER_KEY: "appliance-rotate-master-key.timer",
    VIEW_TOKEN_KEYS: "appliance-rotate-view-token-keys.timer",
    WEBHOOK_SECRET: "appliance-rotate-webhook-secret.timer",
    **dict.fromkeys(INTERNAL, "appliance-rotate-internal-secrets.timer"),
}

TURNS: Final = timedelta(hours=2)
"""Hosts take turns within an hour of the timer's time: another one may have made it as long before, or makes
it as long after."""

WANTS: Final = Path("/etc/systemd/system/timers.target.wants")
"""`systemctl enable` makes a link for each timer here."""

_CALENDAR: Final = re.compile(r"^OnCalendar=(.*)$", re.MULTILINE)
_NEXT: Final = re.compile(
    r"(?:Next elapse|\(in UTC\)): \w+ (\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) UTC$", re.MULTILINE
)
_SECONDS: Final = 5.0


def due(secret: str, created: datetime | None, wants: Path = WANTS) -> datetime | None:
    """By when `secret`, made at `created`, must have been replaced; None when nothing replaces it by itself.

    That is the first time of its timer after it was made, and after the timer was enabled, with the time for
    all hosts to take their turns. Of one whose age nobody noted (`created` None) the latter counts alone.
    """
    link = wants / TIMERS[secret]
    try:
        enabled = datetime.fromtimestamp(link.lstat().st_mtime, UTC)
        calendar = _calendars(link)
    except (OSError, UnicodeDecodeError):
        return None
    since = enabled if created is None else max(enabled, created + TURNS)
    times = [found for each in calendar if (found := next_time(each, int(since.timestamp()))) is not None]
    return min(times) + TURNS if times else None


def _calendars(link: Path) -> list[str]:
    """The times of an enabled timer and its drop-ins (systemd.unit(5)); an empty one ends those before it."""
    found = sorted(link.parent.parent.glob(f"{link.name}.d/*.conf"))
    calendars: list[str] = []
    for file in (link, *found):
        for calendar in _CALENDAR.findall(file.read_text(encoding="utf-8")):
            calendars = [*calendars, calendar.strip()] if calendar.strip() else []
    return calendars


@lru_cache(maxsize=64)
def next_time(calendar: str, since: int) -> datetime | None:
    """The first time after `since` (unix seconds) that is in `calendar` (systemd.time(7)).

    None when there is none, and where systemd-analyze cannot say it.
    """
    command = ["systemd-analyze", "calendar", f"--base-time=@{since}", calendar]
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env={**os.environ, "LC_ALL": "C"},
            timeout=_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    # In the host's own zone, and behind that in UTC where the two differ.
    found = _NEXT.findall(done.stdout)
    return datetime.fromisoformat(f"{found[-1]}+00:00") if done.returncode == 0 and found else None
