"""What one stream asks of an encoder: pictures to decode, rungs to encode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.media.encode.rungs import PlannedRung
    from appliance.media.encode.source import Source
    from appliance.media.status_reading import Reading

MEGA = 1e6

_LONGEST_SIDE: Final = 16_384
_FASTEST_FPS: Final = 1000
"""Bounds of figures that are believed: streams' processes write them, and room is given away by them."""


@dataclass(frozen=True, slots=True)
class Work:
    """Millions of pixels a second: of the source, where it is decoded, and of each rung that is encoded.

    Nothing is decoded where nothing is encoded (but for a keyframe now and then, for thumbnails).
    """

    source: float = 0.0
    rungs: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, source: Source, rungs: Sequence[PlannedRung]) -> Work:
        """Returns what a run of `source` with `rungs` asks for; those that are copied ask for nothing."""
        encoded = {rung.name: rung.width * rung.height * rung.fps / MEGA for rung in rungs if not rung.copied}
        if source.video is None or not encoded:
            return cls()
        fps = max(float(source.fps or 0), *(rung.fps * rung.every for rung in rungs))
        return cls(source.video.width * source.video.height * fps / MEGA, encoded)

    @classmethod
    def reported(cls, status: Reading) -> Work | None:
        """Returns what a stream's process says that it runs; None while it runs nothing that there can be."""
        encoded = {}
        reported = status.items("rungs")
        sides = [status.number("source", "video", key) for key in ("width", "height")]
        sizes = [[rung.number(key) for key in ("width", "height", "fps")] for rung in reported]
        if not all(map(_possible, [*sizes, [*sides, status.number("source", "video", "fps")]])):
            return None
        for rung, size in zip(reported, sizes, strict=True):
            if rung.flag("copied"):
                continue
            name = rung.text("name")
            if name is None or None in size:
                return None
            encoded[name] = _product(size) / MEGA
        if not reported:
            # With sound alone there are no rungs, and yet a run.
            return cls() if status.number("ffmpeg_pid") is not None else None
        fastest = max(rung.number("fps") or 0.0 for rung in reported)
        fps = max(status.number("source", "video", "fps") or 0.0, fastest)
        return cls(_product(sides) * fps / MEGA if encoded else 0.0, encoded)


def _possible(size: Sequence[float | None]) -> bool:
    """Whether a width, a height and a frame rate can be: what is not said can be anything."""
    bounds = (_LONGEST_SIDE, _LONGEST_SIDE, _FASTEST_FPS)
    return all(each is None or 0 <= each <= most for each, most in zip(size, bounds, strict=True))


def _product(numbers: Iterable[float | None]) -> float:
    product = 1.0
    for number in numbers:
        product *= number or 0.0
    return product
