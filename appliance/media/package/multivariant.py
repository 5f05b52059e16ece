"""The multivariant playlist as text: a pure function of what is to be listed.

Source: RFC 8216 and draft-pantos-hls-rfc8216bis; the section numbers are the draft's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

AUDIO_GROUP: Final = "audio"


@dataclass(frozen=True, slots=True)
class AudioRendition:
    """EXT-X-MEDIA of TYPE=AUDIO (4.4.6.1). `channels` 0 leaves CHANNELS out."""

    name: str
    uri: str
    channels: int = 0
    default: bool = True


@dataclass(frozen=True, slots=True)
class Variant:
    """EXT-X-STREAM-INF (4.4.6.2). Rates are bits a second and include the audio group's."""

    uri: str
    bandwidth: int
    average_bandwidth: int
    codecs: tuple[str, ...]
    resolution: tuple[int, int] | None = None
    frame_rate: float | None = None
    audio: bool = False


@dataclass(frozen=True, slots=True)
class MultivariantPlaylist:
    """`audio` renditions form one group that every variant with `audio` set refers to.

    `version` is what its media playlists need at least: none of its own tags needs any.
    """

    variants: tuple[Variant, ...]
    audio: tuple[AudioRendition, ...] = ()
    independent: bool = True
    version: int = 7


def render_multivariant(playlist: MultivariantPlaylist) -> str:
    """The text of a multivariant playlist."""
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{playlist.version}"]
    if playlist.independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    for audio in playlist.audio:
        attributes = [
            "TYPE=AUDIO",
            f'GROUP-ID="{AUDIO_GROUP}"',
            f'NAME="{audio.name}"',
            f"DEFAULT={'YES' if audio.default else 'NO'}",
            "AUTOSELECT=YES",
        ]
        if audio.channels:
            attributes.append(f'CHANNELS="{audio.channels}"')
        attributes.append(f'URI="{audio.uri}"')
        lines.append("#EXT-X-MEDIA:" + ",".join(attributes))
    for variant in playlist.variants:
        attributes = [
            f"BANDWIDTH={variant.bandwidth}",
            f"AVERAGE-BANDWIDTH={variant.average_bandwidth}",
            f'CODECS="{",".join(variant.codecs)}"',
        ]
        if variant.resolution is not None:
            attributes.append(f"RESOLUTION={variant.resolution[0]}x{variant.resolution[1]}")
        if variant.frame_rate is not None:
            attributes.append(f"FRAME-RATE={variant.frame_rate:.3f}")
        if variant.audio:
            attributes.append(f'AUDIO="{AUDIO_GROUP}"')
        lines.append("#EXT-X-STREAM-INF:" + ",".join(attributes))
        lines.append(variant.uri)
    return "\n".join(lines) + "\n"
