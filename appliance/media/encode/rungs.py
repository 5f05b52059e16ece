"""Which rungs of a ladder a source gets: never larger than it, aspect kept, sizes even, no more fps."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from appliance.media.encode.ladder import EncoderFamily, EncoderSettings, Ladder, Rung
    from appliance.media.encode.source import Source

ASSUMED_FPS: Final = 30.0
"""What sizes buffers when no header and no measurement tells the source's frame rate."""

_FPS_TOLERANCE: Final = 1.02
"""A source of 30.3 fps is not cut down for a cap of 30: dropping every hundredth frame would show."""

_DISTINCT_AREA: Final = 1.25
"""Rungs whose areas differ by less are one rung to a viewer; the larger costs CPU for nothing."""


@dataclass(frozen=True, slots=True)
class PlannedRung:
    """A rendition that will be made. One of `every` frames of the source is taken, which gives `fps`.

    `copied` says that the source itself is taken, as it is, and nothing encoded. `ladder_kbps` is the peak
    that the ladder has for the rung's full size: whom it serves can take a copied source of that bitrate,
    however small its pictures are.
    """

    name: str
    width: int
    height: int
    fps: float
    every: int
    scaled: bool
    video_kbps: int
    peak_kbps: int
    ladder_kbps: int
    audio_kbps: int
    encoders: Mapping[EncoderFamily, EncoderSettings]
    copied: bool = False


def plan_rungs(ladder: Ladder, source: Source) -> tuple[PlannedRung, ...]:
    """Returns the rungs for `source`, the largest first; none for a source without video.

    A rung whose box holds the whole source gives a picture of the source's own size, and of several such
    only the smallest is taken. Its bitrate shrinks with the area, at most down to that of the next rung.
    """
    if source.video is None:
        return ()
    fitted = [(rung, _fit(rung, source.display_size)) for rung in ladder.rungs]
    coded = (source.video.width, source.video.height)
    fps = ASSUMED_FPS if source.fps is None else float(source.fps)
    planned: list[PlannedRung] = []
    for index, (rung, size) in enumerate(fitted):
        following = fitted[index + 1] if index + 1 < len(fitted) else None
        if following is not None and _area(size) < _DISTINCT_AREA * _area(following[1]):
            continue
        planned.append(_plan(rung, size, following[0] if following else None, coded, fps))
    return tuple(planned)


def _fit(rung: Rung, display: tuple[int, int]) -> tuple[int, int]:
    """Returns the largest even size within the rung's box, at most `display`, of the same aspect."""
    width, height = display
    box = (rung.width, rung.height) if width >= height else (rung.height, rung.width)
    scale = min(1.0, box[0] / width, box[1] / height)
    return _even(width * scale), _even(height * scale)


def _even(length: float) -> int:
    # Subsampled chroma needs even sizes (4:2:0); the nearest one, but for a source's odd last line that is
    # cut.
    return max(2, 2 * round(length / 2 - 1e-9))


def _plan(
    rung: Rung, size: tuple[int, int], below: Rung | None, coded: tuple[int, int], fps: float
) -> PlannedRung:
    # Detail grows slower than area: the exponent is the usual rule of thumb for equal quality.
    share = min(1.0, _area(size) / (rung.width * rung.height)) ** 0.75
    floor = below.video_kbps if below else 0
    video = max(round(rung.video_kbps * share), min(floor, rung.video_kbps), _LOWEST_KBPS)
    every = max(1, math.ceil(fps / (rung.fps * _FPS_TOLERANCE)))
    return PlannedRung(
        name=rung.name,
        width=size[0],
        height=size[1],
        fps=fps / every,
        every=every,
        scaled=size != coded,
        video_kbps=video,
        peak_kbps=round(video * rung.peak_kbps / rung.video_kbps),
        ladder_kbps=rung.peak_kbps,
        audio_kbps=rung.audio_kbps,
        encoders=rung.encoders,
    )


_LOWEST_KBPS: Final = 100


def _area(size: tuple[int, int]) -> int:
    return size[0] * size[1]
