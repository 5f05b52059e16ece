"""What one stream asks of an encoder: pictures to decode, rungs to encode."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from appliance.media.encode.rungs import PlannedRung
    from appliance.media.encode.source import Source
    from appliance.media.status_reading import Reading

MEGA = 1e6


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
        """Returns what a stream's process says that it runs; None while it runs nothing."""
        encoded = {}
        reported = status.items("rungs")
        for rung in reported:
            name, size = rung.text("name"), [rung.number(key) for key in ("width", "height", "fps")]
            if name is not None and None not in size and not rung.flag("copied"):
                encoded[name] = _product(size) / MEGA
        if not reported:
            # With sound alone there are no rungs, and yet a run.
            return cls() if status.number("ffmpeg_pid") is not None else None
        sides = [status.number("source", "video", key) for key in ("width", "height")]
        fastest = max(rung.number("fps") or 0.0 for rung in reported)
        fps = max(status.number("source", "video", "fps") or 0.0, fastest)
        return cls(_product(sides) * fps / MEGA if encoded else 0.0, encoded)


def _product(numbers: Iterable[float | None]) -> float:
    product = 1.0
    for number in numbers:
        product *= number or 0.0
    return product
