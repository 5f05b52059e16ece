"""One rendition of a stream: a rung of the video ladder, or the sound."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final, Literal

RENDITION_NAME: Final = r"[a-z0-9][a-z0-9-]{0,31}"
"""What a rendition's name looks like: it becomes a directory and a part of URLs."""

AUDIO_RENDITION: Final = "audio"
"""The name of the rendition that carries the sound; no rung of a ladder may have it."""


@dataclass(frozen=True, slots=True)
class Rendition:
    """A byte stream of fragmented MP4 with exactly one track.

    Parameters
    ----------
    name
        Matches RENDITION_NAME, for example ``720p`` or ``audio``.
    kind
        What the track holds.

    Raises ValueError when the name does not match.
    """

    name: str
    kind: Literal["video", "audio"]

    def __post_init__(self) -> None:
        if re.fullmatch(RENDITION_NAME, self.name) is None:
            raise ValueError(f"rendition name {self.name!r} does not match {RENDITION_NAME}")
