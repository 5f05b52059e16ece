"""From what was published to what is listed: a stream's state as playlists."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from appliance.media.package.multivariant import AudioRendition, MultivariantPlaylist, Variant
from appliance.media.package.playlist import (
    HOLD_BACK_TARGETS,
    Key,
    LowLatency,
    MediaPlaylist,
    Part,
    Report,
    Segment,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.media.package.catalogue import Entry, RenditionState, StreamState

PLAYLIST_FILE: Final = "index.m3u8"

# A rendition that has nothing after this many segments of another does not keep the stream from its viewers.
_PATIENCE_SEGMENTS: Final = 3

# Parts are listed for this many target durations at most (RFC 8216bis, 6.2.2), and of so many whole segments
# at most: hls-parser takes more for parts that were forgotten, and players do not begin so far back.
_PARTS_TARGETS: Final = 3
_SHORTEST_TARGETS: Final = 3
_PARTS_SEGMENTS: Final = 2


def segment_file(state: StreamState, msn: int) -> str:
    """The name of segment `msn` in its rendition's directory."""
    return f"{msn}.{'ts' if state.container == 'mpegts' else 'm4s'}"


def init_file(number: int) -> str:
    """The name of init section `number` in its rendition's directory."""
    return f"init-{number}.mp4"


def part_file(msn: int, number: int) -> str:
    """The name of part `number` of segment `msn`, beside it."""
    return f"{msn}.{number}.m4s"


def lasts(state: StreamState, entries: Sequence[Entry]) -> bool:
    """Whether they may be all that a live playlist lists: three target durations (RFC 8216, 6.2.2)."""
    return sum(entry.duration for entry in entries) >= _SHORTEST_TARGETS * state.target_duration


def kept_segments(window: int) -> int:
    """How many segments stay on disk of a stream whose playlists list `window` of them.

    A segment stays for its own duration and that of the longest playlist that listed it after it has left
    (RFC 8216, 6.2.2): as many again behind the window, and one. Their keys stay as long.
    """
    return 2 * window + 1


def listed_whole(state: StreamState, rendition: RenditionState, window: int) -> list[Entry]:
    """The whole entries that the rendition's playlist lists: `window`, or more where those are too short.

    They are where the publisher comes and goes.
    """
    whole = [entry for entry in rendition.entries if not entry.open]
    first = max(0, len(whole) - window)
    while first and not lasts(state, whole[first:]):
        first -= 1
    return whole[first:]


def listed(state: StreamState, rendition: RenditionState, window: int) -> list[Entry]:
    """What the rendition's playlist lists: whole entries, and the open one if it has parts."""
    newest = [entry for entry in rendition.entries[-1:] if entry.open and entry.parts]
    return listed_whole(state, rendition, window) + newest


def parts_behind(state: StreamState, rendition: RenditionState, *, kept: bool = True) -> list[Entry]:
    """The entries whose parts are no longer listed, and need not be `kept` for who has seen them listed.

    Parts stay for three target durations after they have left the playlist (RFC 8216bis, 6.2.2).
    """
    ages = _ages(rendition.entries)
    longest = (2 if kept else 1) * _PARTS_TARGETS * state.target_duration
    return [
        entry for entry, age in zip(rendition.entries, ages, strict=True) if entry.parts and age > longest
    ]


def media_playlist(state: StreamState, rendition: RenditionState, entries: list[Entry]) -> MediaPlaylist:
    """The playlist of the rendition's `entries`, of which there is at least one (`listed`)."""
    breaks = set(state.breaks)
    recent = _PARTS_TARGETS * state.target_duration
    with_parts = entries[-1].msn - (_PARTS_SEGMENTS if entries[-1].open else _PARTS_SEGMENTS - 1)
    segments = [
        _segment(state, entry, entry.msn in breaks, parts=age <= recent and entry.msn >= with_parts)
        for entry, age in zip(entries, _ages(entries), strict=True)
    ]
    open_segment = segments.pop() if entries[-1].open else None
    low_latency = None
    if state.part_target:
        low_latency = LowLatency(
            part_target=state.part_target,
            open_segment=open_segment,
            hint=_hint(rendition) if rendition.active and not state.finished else None,
            reports=tuple(_reports(state, rendition)),
        )
    return MediaPlaylist(
        target_duration=state.target_duration,
        media_sequence=entries[0].msn,
        discontinuity_sequence=state.discontinuity_sequence(entries[0].msn),
        segments=tuple(segments),
        independent=all(entry.independent for entry in entries),
        ended=state.finished,
        low_latency=low_latency,
    )


def _ages(entries: list[Entry]) -> list[float]:
    """How far the end of each entry is from the end of the newest, seconds."""
    ages, age = [], 0.0
    for entry in reversed(entries):
        ages.append(age)
        age += sum(part.duration for part in entry.parts) if entry.open else entry.duration
    return ages[::-1]


def _hint(rendition: RenditionState) -> str | None:
    """The part that comes next, as far as one can know: a segment may end before or after it should."""
    newest = rendition.entries[-1]
    if newest.open and not newest.full:
        return part_file(newest.msn, len(newest.parts))
    return part_file(newest.msn + 1, 0)


def _reports(state: StreamState, rendition: RenditionState) -> Iterator[Report]:
    for other in state.renditions:
        if other is rendition or not (other.active and other.has_media):
            continue
        newest = next((entry for entry in reversed(other.entries) if not entry.open or entry.parts), None)
        if newest is not None:
            last_part = len(newest.parts) - 1 if newest.parts else None
            yield Report(f"../{other.name}/{PLAYLIST_FILE}", newest.msn, last_part)


def _segment(state: StreamState, entry: Entry, discontinuity: bool, *, parts: bool) -> Segment:
    listed_parts: tuple[Part, ...] = ()
    if parts and (not entry.gap or all(part.gap for part in entry.parts)):
        listed_parts = tuple(entry.parts)
    return Segment(
        uri=segment_file(state, entry.msn),
        duration=entry.duration,
        starts_at=entry.starts_at,
        map_uri=init_file(entry.init) if entry.init >= 0 else None,
        # The playlist lies at <stream>/<epoch>/<rendition>/, the keys at <stream>/keys/.
        key=None if entry.kid is None or entry.iv is None else Key(f"../../keys/{entry.kid}", entry.iv),
        discontinuity=discontinuity,
        gap=entry.gap,
        parts=listed_parts,
    )


def is_presentable(state: StreamState) -> bool:
    """Whether the stream may be shown: every rendition of the run has a whole segment or as many parts as a
    player holds back, or was waited for long enough.

    A player reads the multivariant playlist once; what is not in it then, it never gets. One that finds fewer
    parts looks for its first picture in the gap before them, and waits there for the whole segment (hls.js).
    """
    active = [item for item in state.renditions if item.active]
    most = max((sum(not entry.gap for entry in item.entries if not entry.open) for item in active), default=0)
    enough = HOLD_BACK_TARGETS * state.part_target or math.inf
    return most >= _PATIENCE_SEGMENTS or (
        bool(active) and all(item.total_bytes > 0 or item.parts_seconds >= enough for item in active)
    )


def multivariant_playlist(
    stream: str, state: StreamState, *, audio_only: bool = True
) -> MultivariantPlaylist:
    """What the present run offers, in the order of its renditions, with measured attributes.

    With `audio_only` the sound is also a variant of its own, the last one: who has no network for pictures
    still hears (Apple's authoring specification asks for it).
    """
    present = [item for item in state.renditions if item.active and item.has_media]
    videos = [item for item in present if item.kind == "video"]
    sounds = [item for item in present if item.kind == "audio"]
    independent = all(entry.independent for item in present for entry in item.entries)
    version = 3 if state.container == "mpegts" else 7
    if not videos:
        variants = tuple(_variant(stream, state, item, []) for item in sounds)
        return MultivariantPlaylist(variants, version=version)
    alone = sounds[:1] if audio_only else []
    return MultivariantPlaylist(
        variants=(
            *(_variant(stream, state, item, sounds) for item in videos),
            # As in the draft's example of alternative audio: of the group, and with the group's own URI.
            *(replace(_variant(stream, state, item, []), audio=True) for item in alone),
        ),
        audio=tuple(
            AudioRendition(item.name, _uri(stream, state, item), item.channels, default=number == 0)
            for number, item in enumerate(sounds)
        ),
        independent=independent,
        version=version,
    )


def _variant(stream: str, state: StreamState, item: RenditionState, sounds: list[RenditionState]) -> Variant:
    # The highest of the group (RFC 8216bis, 4.4.6.2): the largest sum of any combination.
    peak, average = (
        own + max(others, default=0)
        for own, *others in zip(item.rates, *(sound.rates for sound in sounds), strict=True)
    )
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


def _rounded_up(rate: float) -> int:
    """`rate` with three significant digits: the attribute does not move with every segment."""
    step = int(10 ** max(0, math.floor(math.log10(max(rate, 1))) - 2))
    return math.ceil(rate / step) * step


def _uri(stream: str, state: StreamState, item: RenditionState) -> str:
    """From the multivariant playlist's place, beside the stream's directory."""
    return f"{stream}/{state.epoch}/{item.name}/{PLAYLIST_FILE}"
