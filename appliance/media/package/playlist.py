"""Media playlists as text: pure functions of what is to be listed.

Source: RFC 8216 and draft-pantos-hls-rfc8216bis; the section numbers are the draft's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

HOLD_BACK_TARGETS: Final = 3
"""HOLD-BACK and PART-HOLD-BACK in their target durations: the least that is advised (4.4.3.8)."""

SKIP_TARGETS: Final = 6
"""CAN-SKIP-UNTIL in target durations: the least that is allowed (4.4.3.8)."""


@dataclass(frozen=True, slots=True)
class Key:
    """EXT-X-KEY of METHOD=AES-128 (4.4.4.4): `uri` of the key, `iv` of 16 bytes in hexadecimal."""

    uri: str
    iv: str


@dataclass(frozen=True, slots=True)
class Part:
    """EXT-X-PART (4.4.4.9). `duration` is in seconds; with `gap` there is nothing at `uri`.

    `tag` is its line, made once: it stands in some thirty versions of the playlist.
    """

    uri: str
    duration: float
    independent: bool = False
    gap: bool = False
    tag: str = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        independent = ",INDEPENDENT=YES" if self.independent else ""
        gap = ",GAP=YES" if self.gap else ""
        line = f'#EXT-X-PART:DURATION={self.duration:.6f},URI="{self.uri}"{independent}{gap}'
        object.__setattr__(self, "tag", line)


@dataclass(frozen=True, slots=True)
class Segment:
    """Parameters
    ----------
    uri
        Relative to the playlist.
    duration
        Seconds, EXTINF.
    starts_at
        EXT-X-PROGRAM-DATE-TIME, unix seconds.
    map_uri
        The init section, which is never encrypted; None when it needs none.
    key
        None when the segment is clear.
    discontinuity
        Whether EXT-X-DISCONTINUITY stands before it.
    gap
        Whether there is nothing at `uri` (EXT-X-GAP, 4.4.4.7).
    parts
        Its partial segments, oldest first: all of them, or none any more.
    """

    uri: str
    duration: float
    starts_at: float
    map_uri: str | None
    key: Key | None = None
    discontinuity: bool = False
    gap: bool = False
    parts: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True)
class Report:
    """EXT-X-RENDITION-REPORT (4.4.5.4): how far another rendition is; `last_part` None: no part there."""

    uri: str
    last_msn: int
    last_part: int | None


@dataclass(frozen=True, slots=True)
class LowLatency:
    """What a playlist with parts has besides.

    Parameters
    ----------
    part_target
        Seconds; the same in all renditions and for ever (4.4.3.7).
    open_segment
        The segment of which there are only parts; None when there is none.
    hint
        The part that comes next (EXT-X-PRELOAD-HINT, 4.4.5.3); None when none will come.
    reports
        One for each other rendition.
    """

    part_target: float
    open_segment: Segment | None = None
    hint: str | None = None
    reports: tuple[Report, ...] = ()


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Parameters
    ----------
    target_duration
        Seconds; the same in all renditions and for ever (4.4.3.1).
    media_sequence, discontinuity_sequence
        Of the first segment listed (4.4.3.2, 4.4.3.3).
    segments
        Whole ones, oldest first.
    independent
        Whether every segment begins with a keyframe.
    ended
        EXT-X-ENDLIST.
    low_latency
        None for a playlist of whole segments only.
    """

    target_duration: int
    media_sequence: int
    discontinuity_sequence: int
    segments: tuple[Segment, ...]
    independent: bool = True
    ended: bool = False
    low_latency: LowLatency | None = None


def render_media(playlist: MediaPlaylist, *, skip: int = 0) -> str:
    """The text of a media playlist; with `skip`, of the delta update that leaves out that many segments.

    An EXT-X-MAP that follows an EXT-X-KEY is encrypted by it (4.4.4.5), and ours is clear: the map stands
    before the first key, and a later one after METHOD=NONE.
    """
    live = playlist.low_latency
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{_version(playlist, skip)}"]
    lines.append(f"#EXT-X-TARGETDURATION:{playlist.target_duration}")
    if live is not None:
        lines += _server_control(playlist.target_duration, live.part_target)
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    if playlist.independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    if skip:
        lines.append(f"#EXT-X-SKIP:SKIPPED-SEGMENTS={skip}")
    scope = _Scope()
    for number, segment in enumerate(playlist.segments):
        tags = scope.tags(segment)
        if number >= skip:
            lines += tags
            lines += [part.tag for part in segment.parts]
            if segment.gap:
                lines.append("#EXT-X-GAP")
            lines.append(f"#EXTINF:{segment.duration:.6f},")
            lines.append(segment.uri)
    if live is not None:
        if live.open_segment is not None:
            lines += scope.tags(live.open_segment)
            lines += [part.tag for part in live.open_segment.parts]
        if live.hint is not None:
            lines.append(f'#EXT-X-PRELOAD-HINT:TYPE=PART,URI="{live.hint}"')
        lines += [_report(report) for report in live.reports]
    if playlist.ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def skippable(playlist: MediaPlaylist) -> int:
    """How many segments a delta update leaves out: those that end before the Skip Boundary (6.2.5.1)."""
    behind, count = 0.0, len(playlist.segments)
    for segment in reversed(playlist.segments):
        if behind > SKIP_TARGETS * playlist.target_duration:
            return count
        behind += segment.duration
        count -= 1
    return 0


def _version(playlist: MediaPlaylist, skip: int) -> int:
    """The lowest that has what is in the playlist (section 8); what parts need is tied to none."""
    if skip:  # EXT-X-SKIP
        return 9
    if any(segment.gap for segment in playlist.segments):  # EXT-X-GAP
        return 8
    # 7 is what CMAF players of any age accept. Without init sections an IV asks for 2, and durations with
    # fractions for 3.
    maps = any(segment.map_uri is not None for segment in playlist.segments)
    return 7 if maps or playlist.low_latency is not None else 3


class _Scope:
    """The map and the key in force while a playlist is written from its top."""

    def __init__(self) -> None:
        self._map_uri: str | None = None
        self._key: Key | None = None

    def tags(self, segment: Segment) -> list[str]:
        """What stands before the first part of `segment`, or before its EXTINF."""
        lines = ["#EXT-X-DISCONTINUITY"] if segment.discontinuity else []
        if segment.map_uri is not None and segment.map_uri != self._map_uri:
            if self._key is not None:
                lines.append("#EXT-X-KEY:METHOD=NONE")
                self._key = None
            self._map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{self._map_uri}"')
        if not segment.gap and segment.key != self._key:
            self._key = segment.key
            lines.append(_key(self._key))
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.starts_at)}")
        return lines


def _server_control(target_duration: int, part_target: float) -> list[str]:
    part_hold_back = math.ceil(HOLD_BACK_TARGETS * part_target * 1000 - 1e-6) / 1000
    control = (
        "CAN-BLOCK-RELOAD=YES",
        f"CAN-SKIP-UNTIL={SKIP_TARGETS * target_duration}.0",
        f"HOLD-BACK={HOLD_BACK_TARGETS * target_duration}.0",
        f"PART-HOLD-BACK={part_hold_back:.3f}",
    )
    return [
        f"#EXT-X-SERVER-CONTROL:{','.join(control)}",
        f"#EXT-X-PART-INF:PART-TARGET={part_target:.6f}",
    ]


def _report(report: Report) -> str:
    last_part = "" if report.last_part is None else f",LAST-PART={report.last_part}"
    return f'#EXT-X-RENDITION-REPORT:URI="{report.uri}",LAST-MSN={report.last_msn}{last_part}'


def _key(key: Key | None) -> str:
    if key is None:
        return "#EXT-X-KEY:METHOD=NONE"
    return f'#EXT-X-KEY:METHOD=AES-128,URI="{key.uri}",IV=0x{key.iv}'


@lru_cache(maxsize=1024)
def _date(unix: float) -> str:
    """ISO 8601 in UTC with milliseconds (4.4.4.6). Kept: each playlist repeats the one before."""
    return datetime.fromtimestamp(unix, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
