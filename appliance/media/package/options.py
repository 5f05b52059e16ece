"""How a stream is packaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from appliance.settings import Container, Settings


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
    container
        What segments are; ``mpegts`` has no parts.

    Raises ValueError for parts of a Transport Stream.
    """

    segment_seconds: float
    window_segments: int
    rotation_seconds: float
    encryption: Literal["aes-128", "none"]
    part_seconds: float = 0.0
    container: Container = "fmp4"
    audio_only_variant: bool = True

    def __post_init__(self) -> None:
        if self.container == "mpegts" and self.part_seconds:
            raise ValueError("mpegts has no parts")

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """What the host's settings say."""
        parts = settings.low_latency and settings.container == "fmp4"
        return cls(
            segment_seconds=settings.segment_seconds,
            window_segments=settings.window_segments,
            rotation_seconds=settings.rotation_seconds,
            encryption=settings.encryption,
            part_seconds=settings.part_seconds if parts else 0.0,
            audio_only_variant=settings.audio_only_variant,
            container=settings.container,
        )
