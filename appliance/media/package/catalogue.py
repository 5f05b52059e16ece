"""What has been published of a stream: the content of ``state.json``, from which a new process goes on.

An entry is written here before its file is: after a crash a name is either known with its file (it is
listed), or known without it (it never was readable, and is forgotten), but never there with bytes that
nobody knows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from fractions import Fraction

    from appliance.media.package.playlist import Part
    from appliance.settings import Container

STATE_FILE: Final = "state.json"
REFUSED_STATE_FILE: Final = "state.json.refused"
"""Where a state that nobody could use is kept, for who wants to know why."""

EPOCH: Final = "[a-z0-9]{1,12}"
"""What the name of an epoch's directory matches; `new_epoch_name` needs eight characters until 2059."""


@dataclass(slots=True)
class Entry:
    """One segment of one rendition. Times are unix seconds, durations seconds, `size` bytes on disk.

    `init` is the number of its init section; below 0 it has none. `open` holds while only parts of it can be
    had, whose bytes `size` counts; `full` tells that its last part has probably come, `known` that the state
    on disk has it; `dumped` is how the state wrote it last. These and `parts` stay in memory: they do not
    outlive the process. A part's place in `parts` is its number; with `gap` it has no file: the picture
    before it stands still, or it could not be written.
    """

    msn: int
    starts_at: float
    duration: float
    size: int
    init: int
    kid: str | None = None
    iv: str | None = None
    gap: bool = False
    independent: bool = True
    open: bool = False
    parts: list[Part] = field(default_factory=list)
    full: bool = False
    known: bool = False
    dumped: tuple[tuple[Any, ...], str] | None = field(default=None, repr=False, compare=False)

    def lose(self) -> None:
        """Its file is not there, or is not any more: it goes on as a gap, and needs no key."""
        self.open, self.gap, self.size, self.kid, self.iv = False, True, 0, None, None


@dataclass(slots=True)
class RenditionState:
    """Parameters
    ----------
    inits
        SHA-256 (hex) of each init section; its place is its number in ``init-<n>.mp4``.
    peak
        Highest rate of one segment, bits a second.
    total_bytes, total_seconds, total_segments
        Of everything published in this epoch.
    lost_segments
        Those of this epoch that could not be written, or were cut off with the process.
    newest_at
        When its newest segment was published, unix time; 0 before the first.
    entries
        Oldest first, without holes in their numbers: the live window and what stays behind it for slow
        players.
    active
        Whether the present run has it.
    parts
        Published by this process. It stays in memory, and so does the next.
    delay
        Seconds from the end of the newest part's media to its publication; without parts, of the newest
        segment's; None before the first.
    """

    name: str
    kind: Literal["video", "audio"]
    codecs: str = ""
    width: int = 0
    height: int = 0
    channels: int = 0
    frame_rate: float = 0.0
    peak: float = 0.0
    total_bytes: int = 0
    total_seconds: float = 0.0
    total_segments: int = 0
    lost_segments: int = 0
    newest_at: float = 0.0
    inits: list[str] = field(default_factory=list)
    entries: list[Entry] = field(default_factory=list)
    active: bool = True
    parts: int = 0
    delay: float | None = None

    @property
    def next_msn(self) -> int | None:
        """The number behind the newest entry; None when there is none."""
        return self.entries[-1].msn + 1 if self.entries else None

    @property
    def has_media(self) -> bool:
        """Whether anything of it was ever published in this epoch."""
        # The figures on disk lag behind: they are written before the segment that they count is.
        return self.total_bytes > 0 or any(
            any(not part.gap for part in entry.parts) or not (entry.open or entry.gap)
            for entry in self.entries
        )

    @property
    def rates(self) -> tuple[float, float]:
        """Peak and average, bits a second; before the first whole segment, of the parts so far."""
        if self.total_seconds:
            return self.peak, self.total_bytes * 8 / self.total_seconds
        seconds = self.parts_seconds
        rate = sum(entry.size for entry in self.entries) * 8 / seconds if seconds else 0.0
        return rate, rate

    @property
    def parts_seconds(self) -> float:
        """Of the segment that is open."""
        return sum(part.duration for entry in self.entries[-1:] if entry.open for part in entry.parts)

    def measure(self, size: int, duration: float, target: int, *, at: float) -> None:
        """Counts a segment of `size` bytes and `duration` seconds, published `at` (unix time)."""
        self.total_bytes += size
        self.total_seconds += duration
        self.total_segments += 1
        self.newest_at = at
        # BANDWIDTH is the peak over spans of half to one and a half target durations (RFC 8216bis, 4.4.6.2).
        if duration >= target / 2 or not self.peak:
            self.peak = max(self.peak, size * 8 / duration)


@dataclass(slots=True)
class StreamState:
    """Parameters
    ----------
    epoch
        Directory of this life of the stream; a new one never meets a name of the old one's.
    target_duration, part_target
        Seconds; fixed for the epoch. `part_target` 0 means that there are no parts.
    next_base
        Whole seconds to add to the times of the next run, so that they rise through the epoch.
    breaks
        Media sequence numbers that a discontinuity stands before; `earlier_breaks` counts those that are
        too old to be listed by anybody.
    container
        What its segments are; fixed for the epoch.
    kid, kid_since
        The content key in use and the time (unix seconds) of the first segment under it.
    """

    epoch: str
    target_duration: int
    part_target: float = 0.0
    container: Container = "fmp4"
    renditions: list[RenditionState] = field(default_factory=list)
    next_msn: int = 0
    next_base: int = 1
    breaks: list[int] = field(default_factory=list)
    earlier_breaks: int = 0
    kid: str | None = None
    kid_since: float = 0.0
    finished: bool = False

    def rendition(self, name: str) -> RenditionState | None:
        """The rendition of that name."""
        return next((item for item in self.renditions if item.name == name), None)

    def discontinuity_sequence(self, msn: int) -> int:
        """EXT-X-DISCONTINUITY-SEQUENCE of a playlist that begins with segment `msn`."""
        return self.earlier_breaks + sum(1 for number in self.breaks if number < msn)


def new_epoch_name(now: datetime, *, taken: set[str]) -> str:
    """Unix milliseconds in lower-case base 36, later than every name in `taken`."""
    number = int(now.timestamp() * 1000)
    number = max([number, *(int(name, 36) + 1 for name in taken if is_epoch(name))])
    text = ""
    while number:
        number, digit = divmod(number, 36)
        text = "0123456789abcdefghijklmnopqrstuvwxyz"[digit] + text
    return text


def is_epoch(name: str) -> bool:
    """Whether `name` can be an epoch's directory."""
    return re.fullmatch(EPOCH, name) is not None


def wall_clock(started_at: datetime, seconds: Fraction) -> float:
    """Unix time of what plays `seconds` after `started_at` in a run."""
    return (started_at + timedelta(seconds=float(seconds))).timestamp()
