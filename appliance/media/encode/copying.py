"""The source as the top rung: copied instead of encoded, for as long as it is what a rung has to be.

Copying begins with a stream's first keyframe, before the distance to the next can be known: waiting for it
would make every stream begin two seconds late. The first that comes too late ends it (`CopyWatch`).
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from appliance.media.encode.clock import milliseconds_since
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import MessageType

if TYPE_CHECKING:
    from fractions import Fraction

    from appliance.media.encode.rungs import PlannedRung
    from appliance.media.encode.source import Source
    from appliance.media.rtmp.chunks import Message

_PROFILES: Final = frozenset({66, 77, 100})
"""Baseline, Main and High: 8 bits, 4:2:0."""

_HIGHEST_LEVEL: Final = 42
"""The largest level that every phone decodes."""

_RATE_WINDOW_MS: Final = 5000

_FULL_MS: Final = 0.9 * _RATE_WINDOW_MS
"""Between the first and last picture of a full window: less than the whole by up to the distance of two
pictures, which is half a second at 2 frames a second."""

_TOLERANCE: Final = 1.25
"""A source with the rung's own bitrate has to fit in spite of its encoder's moods: some overshoot by a fifth
for seconds, and each change from copying to encoding is a break for every viewer."""

_IDR: Final = 5  # nal_unit_type (H.264, table 7-1)


def with_copy(
    rungs: tuple[PlannedRung, ...], source: Source, kbps: float | None
) -> tuple[tuple[PlannedRung, ...], str | None]:
    """Returns `rungs` with the first one copied, or as they are and in words why that cannot be.

    `kbps` is the source's bitrate of pictures (1000 bits/s) as far as anything tells.
    """
    reason = _misfit(rungs, source, kbps)
    if reason is not None:
        return rungs, reason
    return (replace(rungs[0], copied=True), *rungs[1:]), None


def _misfit(rungs: tuple[PlannedRung, ...], source: Source, kbps: float | None) -> str | None:
    video = source.video
    if video is None or not rungs:
        return "it has no pictures"
    top = rungs[0]
    size, rate = f"{video.width}x{video.height}", f"{top.fps * top.every:.4g}"
    misfits = (
        (
            video.profile not in _PROFILES,
            f"its profile is {video.profile_name}, allowed are Baseline, Main and High",
        ),
        (
            video.level > _HIGHEST_LEVEL,
            f"its level is {video.level / 10:g}, allowed is at most {_HIGHEST_LEVEL / 10:g}",
        ),
        (video.interlaced, "it is interlaced"),
        (top.scaled, f"its size is {size}, the rung's {top.width}x{top.height}"),
        (top.every > 1, f"it has {rate} frames a second, the rung {top.fps:.4g}"),
    )
    return next((reason for holds, reason in misfits if holds), None) or _too_fast(kbps, top)


def _too_fast(kbps: float | None, rung: PlannedRung) -> str | None:
    """Says that `kbps` is more than the ladder gives the rung; None when it is not, or not known."""
    if kbps is None or kbps <= _TOLERANCE * rung.ladder_kbps:
        return None
    return f"its bitrate is {kbps:.0f} kb/s, the rung's peak {rung.ladder_kbps} kb/s"


class CopyWatch:
    """Watches a publisher's pictures: their keyframes and their bitrate.

    `misfit` says in words why the source cannot be a rung, once that has been seen; None until then. It
    stays for as long as the publisher does: what has failed once may fail again each minute.
    """

    def __init__(self, longest: Fraction) -> None:
        self.misfit: str | None = None
        self._longest_ms = float(longest * 1000)
        self._keyframe: int | None = None
        self._sizes: deque[tuple[int, int]] = deque()
        self._bytes = 0

    def observe(self, message: Message) -> None:
        """Takes a frame, of sound too."""
        if message.type != MessageType.VIDEO:
            return
        packet = flv.parse_video(message.payload)
        timestamp = message.timestamp
        if packet.kind is flv.PacketKind.KEYFRAME:
            if not _begins_anew(message.payload[packet.body :]):
                self.misfit = self.misfit or "its keyframes need pictures before them (open GOP)"
            self._check_distance(timestamp)
            self._keyframe = timestamp
        elif self._keyframe is not None:
            self._check_distance(timestamp)
        self._count(timestamp, len(message.payload))

    def kbps(self) -> float | None:
        """Bitrate of the pictures over the last five seconds of media; None while they are fewer."""
        if not self._sizes:
            return None
        span = milliseconds_since(self._sizes[0][0], self._sizes[-1][0])
        return self._bytes * 8 / span if span >= _FULL_MS else None

    def check_rate(self, rung: PlannedRung) -> None:
        """Notes it as the misfit when the bitrate is above what `rung` may have."""
        self.misfit = self.misfit or _too_fast(self.kbps(), rung)

    def pause(self) -> None:
        """The timestamps have jumped: what comes next is not measured against what was before."""
        self._keyframe = None
        self._sizes.clear()
        self._bytes = 0

    def _check_distance(self, timestamp: int) -> None:
        if self._keyframe is None:
            return
        if milliseconds_since(self._keyframe, timestamp) > self._longest_ms:
            self.misfit = self.misfit or f"its keyframes are more than {self._longest_ms / 1000:g} s apart"

    def _count(self, timestamp: int, size: int) -> None:
        self._sizes.append((timestamp, size))
        self._bytes += size
        while not 0 <= milliseconds_since(self._sizes[0][0], timestamp) <= _RATE_WINDOW_MS:
            self._bytes -= self._sizes.popleft()[1]


def _begins_anew(units: bytes) -> bool:
    """Whether the picture's first slice is of an IDR; `units` as AVC carries them, each after its length.

    The length takes four bytes in every stream that encoders send over RTMP (ISO/IEC 14496-15, 5.3.3.1);
    where it does not, the source is not copied.
    """
    at = 0
    while at + 5 <= len(units):
        kind = units[at + 4] & 0x1F
        if 1 <= kind <= _IDR:
            return kind == _IDR
        at += 4 + int.from_bytes(units[at : at + 4])
    return False
