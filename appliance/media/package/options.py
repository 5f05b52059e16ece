"""How a stream is packaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from appliance.settings import Settings


@dataclass(frozen=True, slots=True)
class PackagingOptions:
    """Parameters
    ----------
    segment_seconds
        Wanted length of a segment; the encoder puts a keyframe at each multiple.
    window_segments
        How many segments a live playlist lists; at least 1.
    rotation_seconds
        Media time after which the content key changes, at the next segment.
    encryption
        ``none`` leaves segments clear.
    part_seconds
        Longest low-latency part (PART-TARGET); 0 makes none.
    """

    segment_seconds: float
    window_segments: int
    rotation_seconds: float
    encryption: Literal["aes-128", "none"]
    part_seconds: float = 0.0
    audio_only_variant: bool = True

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the host's settings say."""
        return cls(
            segment_seconds=settings.segment_seconds,
            window_segments=settings.window_segments,
            rotation_seconds=settings.rotation_seconds,
            encryption=settings.encryption,
            part_seconds=settings.part_seconds if settings.low_latency else 0.0,
            audio_only_variant=settings.audio_only_variant,
        )
