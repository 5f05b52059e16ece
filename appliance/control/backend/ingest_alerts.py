"""What a publisher sends outside the limits of the settings: told when it lasts, and when it is over.

A figure has to be outside its limit for LASTING_SECONDS before it is told, and inside again for as long
before that is.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.media.status_reading import Reading
from appliance.state.events import Event

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from appliance.names import StreamName
    from appliance.settings import Settings

RAISED: Final = "ingest.alert"
OVER: Final = "ingest.alert.over"

LASTING_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Change:
    """An alert of a stream begins or is over; `value` is what was seen (None when the stream has ended)."""

    stream: StreamName
    alert: str
    over: bool
    value: float | None
    limit: float

    def event(self, host: str) -> Event:
        """What the backend is told."""
        data = {"alert": self.alert, "value": self.value, "limit": self.limit, "host": host}
        return Event.new(OVER if self.over else RAISED, self.stream, data)


@dataclass(slots=True)
class _Case:
    """One alert of one stream: told or not, and since when (monotonic seconds) it is the other way round."""

    raised: bool = False
    differs_since: float | None = None


class IngestAlerts:
    """The alerts of all streams of this host; `clock` gives monotonic seconds."""

    def __init__(self, settings: Settings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._settings = settings
        self._clock = clock
        self._cases: dict[tuple[StreamName, str], _Case] = {}

    def look(self, live: Mapping[StreamName, Reading]) -> list[Change]:
        """What is to be told now; each change comes again until `told` is called with it."""
        changes = []
        for stream, status in live.items():
            for alert, value, limit, outside in _figures(status, self._settings):
                case = self._cases.setdefault((stream, alert), _Case())
                if self._lasts(case, outside):
                    changes.append(Change(stream, alert, not outside, value, limit))
        for (stream, alert), case in list(self._cases.items()):
            if stream in live:
                continue
            if case.raised:
                changes.append(Change(stream, alert, True, None, self._limit(alert)))
            else:
                del self._cases[stream, alert]
        return changes

    def told(self, change: Change) -> None:
        """`change` is stored for the backend."""
        case = self._cases[change.stream, change.alert]
        case.raised, case.differs_since = not change.over, None

    def _lasts(self, case: _Case, outside: bool) -> bool:
        if outside == case.raised:
            case.differs_since = None
            return False
        now = self._clock()
        if case.differs_since is None:
            case.differs_since = now
        return now - case.differs_since >= LASTING_SECONDS

    def _limit(self, alert: str) -> float:
        return next(limit for name, _, limit, _ in _figures(Reading({}), self._settings) if name == alert)


def _figures(status: Reading, settings: Settings) -> list[tuple[str, float | None, float, bool]]:
    """Name, value, limit and whether it is outside, of each limit that is set. What is unknown is inside."""
    # Measured, and where nothing is measured yet what the source declares.
    fps = status.number("fps") or status.number("source", "video", "fps")
    kbps = status.number("bitrate_kbps")
    found = [
        ("low_bitrate", kbps, settings.alert_min_kbps, -1),
        ("high_bitrate", kbps, settings.alert_max_kbps, 1),
        ("low_fps", fps, settings.alert_min_fps, -1),
        (
            "long_keyframe_interval",
            status.number("source", "video", "keyframe_seconds"),
            settings.alert_max_keyframe_seconds,
            1,
        ),
        ("wide_picture", status.number("source", "video", "width"), settings.alert_max_width, 1),
        ("high_picture", status.number("source", "video", "height"), settings.alert_max_height, 1),
    ]
    return [
        (name, value, limit, value is not None and sign * (value - limit) > 0)
        for name, value, limit, sign in found
        if limit
    ]
