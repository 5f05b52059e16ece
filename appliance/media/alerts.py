"""What ails a stream: raised once, told once, over once, and still to be read for a while after.

An alert has occurrences (a lost part, a slow write, a tick in which encoding was too slow). It is raised by
the first, or the one that makes it more than a hiccup; it is over when none came for a minute. The journal
gets a line for each of the two, whatever lies between: a full disk would fill the journal as well.
"""

from __future__ import annotations

import enum
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appliance.iso_time import iso

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

QUIET_S: Final = 60.0
"""An alert without an occurrence for so long is over. Shorter, and a disk that is full at each sixth segment
would raise and end its alert for ever."""

REMEMBERED_S: Final = 900.0
"""How long an alert that is over can still be seen: somebody who was woken by it has come by then."""


@dataclass(frozen=True, slots=True)
class AlertKind:
    """Parameters
    ----------
    name
        For programs: in `status.json`, and a metric's label.
    what, mends
        What the matter is, and what an operator can do about it.
    level
        Of the journal's line: ERROR when viewers lose something, WARNING when they may.
    least
        Occurrences within QUIET_S of each other that it takes.
    """

    name: str
    what: str
    mends: str
    level: int = logging.WARNING
    least: int = 1


class Alert(enum.Enum):
    """All there are."""

    STORAGE_FULL = AlertKind(
        "storage_full",
        "the media root is nearly full, and the oldest segments go early",
        "raise origin_media_size, or lower window_segments or the ladder's bitrates",
    )
    WRITE_FAILED = AlertKind(
        "write_failed",
        "parts, segments or playlists could not be written: players skip or miss them",
        "see what the media root lacks (df -h; df -i), then raise origin_media_size or origin_media_inodes",
        level=logging.ERROR,
    )
    SLOW_WRITES = AlertKind(
        "slow_writes",
        "writing to the media root is slow",
        "the media root has to be a tmpfs (findmnt -t tmpfs), and the host must neither swap (vmstat 1) "
        "nor be out of CPU time (top)",
        least=3,
    )
    SLOW_ENCODING = AlertKind(
        "slow_encoding",
        "encoding is slower than the source",
        "see what else takes the host's time (top); give it more cores, or the stream a smaller ladder",
    )
    RUNG_GIVEN_UP = AlertKind(
        "rung_given_up",
        "a rung was given up because encoding was too slow, until another publisher comes",
        "see what else takes the host's time (top); give it more cores, or the stream a smaller ladder",
    )
    PICTURES_LEFT_OUT = AlertKind(
        "pictures_left_out",
        "the encoder was so far behind that pictures were left out",
        "see what else takes the host's time (top); give it more cores, or the stream a smaller ladder",
        level=logging.ERROR,
    )
    RUNS_FAIL = AlertKind(
        "runs_fail",
        "FFmpeg cannot be started, or ends soon after, again and again",
        "see what FFmpeg said: journalctl -u 'stream@NAME'; what it is sent: appliance streams show NAME",
        level=logging.ERROR,
        least=3,
    )
    SOURCE_REFUSED = AlertKind(
        "source_refused",
        "what the publisher sends cannot be streamed",
        "set the encoder to H.264 and AAC",
        level=logging.ERROR,
    )


@dataclass(slots=True)
class _Case:
    """One alert from its first occurrence on. `_at` are monotonic seconds, the others unix time."""

    since: float
    last: float
    last_at: float
    value: str
    count: int = 0
    raised: bool = False


class Alerts:
    """The alerts of one stream.

    Parameters
    ----------
    clock, wall
        Monotonic seconds, and unix time.
    """

    def __init__(
        self, *, clock: Callable[[], float] = time.monotonic, wall: Callable[[], float] = time.time
    ) -> None:
        self._clock = clock
        self._wall = wall
        self._cases: dict[Alert, _Case] = {}
        self._over: dict[Alert, _Case] = {}

    def note(self, alert: Alert, value: str) -> None:
        """The matter of `alert` occurs now; `value` is what was seen, in words."""
        self._see_what_is_over()
        kind, now, wall = alert.value, self._clock(), self._wall()
        case = self._cases.setdefault(alert, _Case(wall, wall, now, value))
        case.count += 1
        case.last, case.last_at, case.value = wall, now, value
        if not case.raised and case.count >= kind.least:
            case.raised = True
            self._over.pop(alert, None)
            _tell(alert, "raised", kind.level, f"{kind.what}: {value}; {kind.mends}")

    def hold(self, alert: Alert, value: str) -> None:
        """The matter of `alert` lasts: one occurrence, however often this is called while it does."""
        self._see_what_is_over()
        case = self._cases.get(alert)
        if case is None:
            self.note(alert, value)
        else:
            case.last, case.last_at, case.value = self._wall(), self._clock(), value

    def active(self) -> frozenset[Alert]:
        """Those that were raised and are not over."""
        self._see_what_is_over()
        return frozenset(alert for alert, case in self._cases.items() if case.raised)

    def describe(self) -> list[dict[str, Any]]:
        """For `status.json`: what is the matter, then what was; times are ISO 8601 in UTC.

        `last` is the time of the last occurrence, `value` what was seen then; `over` tells that none came for
        QUIET_S.
        """
        active = self.active()
        present = [(alert, case, False) for alert, case in self._cases.items() if alert in active]
        past = [(alert, case, True) for alert, case in self._over.items()]
        return [
            {
                "name": alert.value.name,
                "over": over,
                "since": iso(case.since),
                "last": iso(case.last),
                "count": case.count,
                "what": alert.value.what,
                "value": case.value,
                "mends": alert.value.mends,
            }
            for cases in (present, past)
            for alert, case, over in sorted(cases, key=lambda item: item[1].since)
        ]

    def _see_what_is_over(self) -> None:
        now = self._clock()
        for alert, case in list(self._cases.items()):
            if now - case.last_at <= QUIET_S:
                continue
            del self._cases[alert]
            if case.raised:
                self._over[alert] = case
                times = f"{case.count} times" if case.count > 1 else "once"
                text = f"{times} since {iso(case.since)}, the last time at {iso(case.last)}"
                _tell(alert, "over", logging.WARNING, f"over: {alert.value.what}: {text}")
        for alert, case in list(self._over.items()):
            if now - case.last_at > QUIET_S + REMEMBERED_S:
                del self._over[alert]


def _tell(alert: Alert, step: str, level: int, text: str) -> None:
    log.log(level, "%s", text, extra={"fields": {"alert": alert.value.name, "step": step}})
