"""Sound and pictures in one: the segments of a run as MPEG-2 Transport Streams.

Each rung's segment gets the sound of the same index, byte for byte the same in all rungs, so that a player
may switch between them at any segment. Pictures wait for it, but not for ever.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

from appliance.media.package.mpegts import TransportStream
from appliance.media.package.timeline import KEPT_BOUNDARIES

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from appliance.media.package.rendition import Rendition
    from appliance.media.package.segmenter import ClosedSegment, Segmenter
    from appliance.media.package.track import Track

_PATIENCE_SEGMENTS: Final = 2
"""Segments of pictures that wait for sound which does not come; what comes later than that is left out."""


def published(renditions: Sequence[Rendition]) -> list[Rendition]:
    """What viewers get of `renditions`: the rungs, with the sound in each, or the sound alone."""
    return [item for item in renditions if item.kind == "video"] or list(renditions)


@dataclass(slots=True)
class _Rung:
    segmenter: Segmenter
    stream: TransportStream
    next_index: int = 0
    waiting: deque[ClosedSegment] = field(default_factory=deque)


class Muxer:
    """Muxes the segments of one run, which come from `segmenters`."""

    def __init__(self, segmenters: Sequence[Segmenter]) -> None:
        rungs = [item for item in segmenters if item.rendition.kind == "video"]
        sounds = [item for item in segmenters if item.rendition.kind == "audio"]
        self._sound = sounds[0] if rungs and sounds else None
        self._rungs = {
            item.rendition.name: _Rung(item, TransportStream(video=bool(rungs), audio=bool(sounds)))
            for item in rungs or sounds
        }
        # What of the sound is still wanted, by its index, and the index of the next that it will have.
        self._sounds: dict[int, ClosedSegment] = {}
        self._next_sound = 0

    def codecs(self, track: Track) -> str:
        """What a rendition with pictures or sound of `track` carries, as in CODECS (RFC 6381)."""
        sound = None if self._sound is None else self._sound.track
        return track.codecs if sound is None else f"{track.codecs},{sound.codecs}"

    def add(self, rendition: str, segment: ClosedSegment) -> Iterator[tuple[Segmenter, ClosedSegment]]:
        """Yields the segments that `segment`, the next of a rendition, completes, with their bytes."""
        if self._sound is not None and rendition == self._sound.rendition.name:
            self._sounds[segment.index] = segment
            self._next_sound = segment.index + 1
            for rung in self._rungs.values():
                yield from _muxed(rung, self._sounds, self._complete(rung))
        else:
            rung = self._rungs[rendition]
            rung.waiting.append(segment)
            yield from _muxed(rung, self._sounds, self._complete(rung))
        # A rung that gives nothing any more does not keep the sound for ever.
        oldest = min(item.next_index for item in self._rungs.values())
        oldest = max(oldest, self._next_sound - KEPT_BOUNDARIES)
        self._sounds = {index: sound for index, sound in self._sounds.items() if index >= oldest}

    def overdue(self, rendition: str) -> Iterator[tuple[Segmenter, ClosedSegment]]:
        """More of `rendition` comes: yields what of it has waited for too long, without sound.

        One piece of pictures may complete many segments whose sound is still in its pipe, so nothing is given
        up before the next.
        """
        rung = self._rungs.get(rendition)
        if rung is not None:
            yield from _muxed(rung, self._sounds, len(rung.waiting) - _PATIENCE_SEGMENTS)

    def flush(self) -> Iterator[tuple[Segmenter, ClosedSegment]]:
        """The run is over: yields what waits, with the sound that there is."""
        for rung in self._rungs.values():
            yield from _muxed(rung, self._sounds, len(rung.waiting))

    def _complete(self, rung: _Rung) -> int:
        """How many segments of `rung` wait no longer: their sound is there, or there is none."""
        if self._sound is None:
            return len(rung.waiting)
        return sum(item.index < self._next_sound for item in rung.waiting)


def _muxed(
    rung: _Rung, sounds: dict[int, ClosedSegment], count: int
) -> Iterator[tuple[Segmenter, ClosedSegment]]:
    """The `count` oldest segments that wait, with their sound of `sounds`."""
    for _ in range(count):
        segment = rung.waiting.popleft()
        rung.next_index = segment.index + 1
        if rung.segmenter.rendition.kind == "audio":
            data = rung.stream.segment((), segment.units)
        else:
            sound = sounds.get(segment.index)
            data = rung.stream.segment(segment.units, () if sound is None else sound.units)
        yield rung.segmenter, replace(segment, data=data, units=())
