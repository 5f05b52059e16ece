"""How a stream is packaged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


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
