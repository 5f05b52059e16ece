"""The live edge: the newest playlist of each rendition, and what a request for the next may hope for.

The rules are those of blocking playlist reload and preload hints (RFC 8216bis, 6.2.5.2 and 6.2.6); who waits,
and how, is the concern of `appliance.media.serve`.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from appliance.media.package.playlist import MediaPlaylist, render_media, skippable

if TYPE_CHECKING:
    from collections.abc import Callable


class Outlook(enum.Enum):
    """What becomes of a request at this moment."""

    READY = "ready"
    WAIT = "wait"
    NEVER = "never"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A rendition's playlist as it was published, and its text."""

    epoch: str
    playlist: MediaPlaylist
    text: bytes

    @property
    def last_msn(self) -> int:
        """Of the newest whole segment; one less than the first number when there is none."""
        return self.playlist.media_sequence + len(self.playlist.segments) - 1

    def delta(self) -> bytes:
        """The delta update, or the whole text where nothing can be left out (6.2.5.1)."""
        skip = 0 if self.playlist.ended else skippable(self.playlist)
        return render_media(self.playlist, skip=skip).encode() if skip else self.text

    def reload(self, msn: int, part: int | None) -> Outlook:
        """What becomes of a request for the playlist that holds segment `msn`, or that `part` of it.

        NEVER stands for a request that is too far ahead to be anything but an error.
        """
        if self.playlist.ended:
            return Outlook.READY
        if part is None:
            there = msn <= self.last_msn
        elif msn < self.last_msn:
            there = True
        else:
            # Behind a whole segment's last part comes the first of the next (6.2.5.2).
            behind = msn == self.last_msn and self._parts(msn + 1) > 0
            there = behind or part < self._parts(msn)
        if there:
            return Outlook.READY
        too_far = msn > self.last_msn + 2 or (part is not None and self._too_far(msn, part))
        return Outlook.NEVER if too_far else Outlook.WAIT

    def ahead(self, msn: int, part: int) -> int:
        """How many parts will come before that one, in segments as long as they may be."""
        live, target = self.playlist.low_latency, self.playlist.target_duration
        whole = 0 if live is None else math.ceil(target / live.part_target)
        return max(0, (msn - self.last_msn - 1) * whole + part - self._parts(self.last_msn + 1))

    def part(self, msn: int, part: int) -> Outlook:
        """What becomes of a request for a part that is not on disk; there may be one by now."""
        if self.playlist.ended or self.playlist.low_latency is None:
            return Outlook.NEVER
        known = self._parts(msn)
        if part < known:
            return Outlook.READY
        if msn == self.last_msn + 1 and not self._too_far(msn, part):
            return Outlook.WAIT
        # The hint is of the next segment when this one has its length already.
        return Outlook.WAIT if msn == self.last_msn + 2 and part == 0 else Outlook.NEVER

    def _parts(self, msn: int) -> int:
        """How many parts of segment `msn` there are."""
        live = self.playlist.low_latency
        number = msn - self.playlist.media_sequence
        if 0 <= number < len(self.playlist.segments):
            return len(self.playlist.segments[number].parts)
        if live is not None and live.open_segment is not None and msn == self.last_msn + 1:
            return len(live.open_segment.parts)
        return 0

    def _too_far(self, msn: int, part: int) -> bool:
        """Beyond the Advance Part Limit (6.2.5.2)."""
        live = self.playlist.low_latency
        if live is None:
            return False
        limit = math.ceil(3 / live.part_target) if live.part_target < 1 else 3
        return part >= self._parts(msn) + limit


class LiveEdge:
    """The newest snapshot of each rendition of a stream. `on_change` is called with each rendition's name."""

    def __init__(self) -> None:
        self.on_change: Callable[[str], None] | None = None
        self._snapshots: dict[str, Snapshot] = {}

    def snapshot(self, epoch: str, rendition: str) -> Snapshot | None:
        """The newest one; None when the rendition has none in that epoch."""
        found = self._snapshots.get(rendition)
        return found if found is not None and found.epoch == epoch else None

    def publish(self, epoch: str, rendition: str, playlist: MediaPlaylist, text: bytes) -> None:
        """The rendition's playlist is `playlist` from now on, and written."""
        self._snapshots[rendition] = Snapshot(epoch, playlist, text)
        if self.on_change is not None:
            self.on_change(rendition)

    def clear(self) -> None:
        """The stream is gone."""
        names = list(self._snapshots)
        self._snapshots.clear()
        if self.on_change is not None:
            for name in names:
                self.on_change(name)
