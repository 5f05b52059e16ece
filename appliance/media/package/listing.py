"""From what was published to what is listed: a stream's state as playlists."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

from appliance.media.package.catalogue import moment
from appliance.media.package.playlist import (
    AudioRendition,
    Key,
    MediaPlaylist,
    MultivariantPlaylist,
    Segment,
    Variant,
)

if TYPE_CHECKING:
    from appliance.media.package.catalogue import Entry, RenditionState, StreamState

PLAYLIST_FILE: Final = "index.m3u8"

# A rendition that has nothing after this many segments of another does not keep the stream from its viewers.
_PATIENCE_SEGMENTS: Final = 3


def segment_file(msn: int) -> str:
    """The name of segment `msn` in its rendition's directory."""
    return f"{msn}.m4s"


def init_file(number: int) -> str:
    """The name of init section `number` in its rendition's directory."""
    return f"init-{number}.mp4"


def media_playlist(state: StreamState, listed: list[Entry]) -> MediaPlaylist:
    """The playlist of the segments `listed`, of which there is at least one."""
    breaks = set(state.breaks)
    return MediaPlaylist(
        target_duration=state.target_duration,
        media_sequence=listed[0].msn,
        discontinuity_sequence=state.discontinuity_sequence(listed[0].msn),
        segments=tuple(_segment(entry, entry.msn in breaks) for entry in listed),
        independent=all(entry.independent for entry in listed),
        ended=state.finished,
    )


def _segment(entry: Entry, discontinuity: bool) -> Segment:
    key = None
    if entry.kid is not None and entry.iv is not None:
        # The playlist lies at <stream>/<epoch>/<rendition>/, the keys at <stream>/keys/.
        key = Key(f"../../keys/{entry.kid}", bytes.fromhex(entry.iv))
    return Segment(
        uri=segment_file(entry.msn),
        duration=entry.duration,
        starts_at=moment(entry.starts_at),
        map_uri=init_file(entry.init) if entry.init >= 0 else None,
        key=key,
        discontinuity=discontinuity,
        gap=entry.gap,
    )


def is_presentable(state: StreamState) -> bool:
    """Whether the stream may be shown: every rendition of the run has media, or has been waited for long
    enough.

    A player reads the multivariant playlist once; what is not in it then, it never gets.
    """
    active = [item for item in state.renditions if item.active]
    most = max((sum(not entry.gap for entry in item.entries) for item in active), default=0)
    return most >= _PATIENCE_SEGMENTS or (most > 0 and all(item.has_media for item in active))


def multivariant_playlist(stream: str, state: StreamState) -> MultivariantPlaylist:
    """What the present run offers, in the order of its renditions, with measured attributes."""
    present = [item for item in state.renditions if item.active and item.has_media]
    videos = [item for item in present if item.kind == "video"]
    sounds = [item for item in present if item.kind == "audio"]
    independent = all(entry.independent for item in present for entry in item.entries)
    if not videos:
        return MultivariantPlaylist(tuple(_variant(stream, state, item, []) for item in sounds))
    return MultivariantPlaylist(
        variants=tuple(_variant(stream, state, item, sounds) for item in videos),
        audio=tuple(
            AudioRendition(item.name, _uri(stream, state, item), item.channels, default=number == 0)
            for number, item in enumerate(sounds)
        ),
        independent=independent,
    )


def _variant(stream: str, state: StreamState, item: RenditionState, sounds: list[RenditionState]) -> Variant:
    # The highest of the group (RFC 8216bis, 4.4.6.2): the largest sum of any combination.
    peak = item.peak + max((sound.peak for sound in sounds), default=0)
    average = _average(item) + max((_average(sound) for sound in sounds), default=0)
    bandwidth = _rounded_up(peak)
    codecs = [item.codecs, *(sound.codecs for sound in sounds)]
    return Variant(
        uri=_uri(stream, state, item),
        bandwidth=bandwidth,
        average_bandwidth=min(bandwidth, _rounded_up(average)),
        codecs=tuple(dict.fromkeys(codecs)),
        resolution=(item.width, item.height) if item.kind == "video" else None,
        frame_rate=item.frame_rate or None,
        audio=bool(sounds),
    )


def _average(item: RenditionState) -> float:
    return item.total_bytes * 8 / item.total_seconds if item.total_seconds else 0.0


def _rounded_up(rate: float) -> int:
    """`rate` with three significant digits: the attribute does not move with every segment."""
    step = int(10 ** max(0, math.floor(math.log10(max(rate, 1))) - 2))
    return math.ceil(rate / step) * step


def _uri(stream: str, state: StreamState, item: RenditionState) -> str:
    """From the multivariant playlist's place, beside the stream's directory."""
    return f"{stream}/{state.epoch}/{item.name}/{PLAYLIST_FILE}"
