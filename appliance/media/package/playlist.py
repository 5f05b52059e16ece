"""HLS playlists as text: pure functions of what is to be listed.

Source: RFC 8216 and draft-pantos-hls-rfc8216bis; the section numbers are the draft's.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

AUDIO_GROUP: Final = "audio"


@dataclass(frozen=True, slots=True)
class Key:
    """EXT-X-KEY of METHOD=AES-128 (4.4.4.4): `uri` of the key, `iv` of 16 bytes."""

    uri: str
    iv: bytes


@dataclass(frozen=True, slots=True)
class Segment:
    """Parameters
    ----------
    uri
        Relative to the playlist.
    duration
        Seconds, EXTINF.
    starts_at
        EXT-X-PROGRAM-DATE-TIME; aware.
    map_uri
        The init section, which is never encrypted.
    key
        None when the segment is clear.
    discontinuity
        Whether EXT-X-DISCONTINUITY stands before it.
    gap
        Whether there is nothing at `uri` (EXT-X-GAP, 4.4.4.7).
    """

    uri: str
    duration: float
    starts_at: datetime
    map_uri: str | None
    key: Key | None = None
    discontinuity: bool = False
    gap: bool = False


@dataclass(frozen=True, slots=True)
class MediaPlaylist:
    """Parameters
    ----------
    target_duration
        Seconds; the same in all renditions and for ever (4.4.3.1).
    media_sequence, discontinuity_sequence
        Of the first segment listed (4.4.3.2, 4.4.3.3).
    segments
        Oldest first.
    independent
        Whether every segment begins with a keyframe.
    ended
        EXT-X-ENDLIST.
    """

    target_duration: int
    media_sequence: int
    discontinuity_sequence: int
    segments: tuple[Segment, ...]
    independent: bool = True
    ended: bool = False


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
    """`audio` renditions form one group that every variant with `audio` set refers to."""

    variants: tuple[Variant, ...]
    audio: tuple[AudioRendition, ...] = ()
    independent: bool = True


def render_media(playlist: MediaPlaylist) -> str:
    """The text of a media playlist.

    An EXT-X-MAP that follows an EXT-X-KEY is encrypted by it (4.4.4.5), and ours is clear: the map stands
    before the first key, and a later one after METHOD=NONE.
    """
    # 8 is the first version with EXT-X-GAP; 7 is what CMAF players of any age accept.
    version = 8 if any(segment.gap for segment in playlist.segments) else 7
    lines = ["#EXTM3U", f"#EXT-X-VERSION:{version}", f"#EXT-X-TARGETDURATION:{playlist.target_duration}"]
    lines.append(f"#EXT-X-MEDIA-SEQUENCE:{playlist.media_sequence}")
    lines.append(f"#EXT-X-DISCONTINUITY-SEQUENCE:{playlist.discontinuity_sequence}")
    if playlist.independent:
        lines.append("#EXT-X-INDEPENDENT-SEGMENTS")
    map_uri: str | None = None
    key: Key | None = None
    for segment in playlist.segments:
        if segment.discontinuity:
            lines.append("#EXT-X-DISCONTINUITY")
        if segment.map_uri is not None and segment.map_uri != map_uri:
            if key is not None:
                lines.append("#EXT-X-KEY:METHOD=NONE")
                key = None
            map_uri = segment.map_uri
            lines.append(f'#EXT-X-MAP:URI="{map_uri}"')
        if not segment.gap and segment.key != key:
            key = segment.key
            lines.append(_key(key))
        lines.append(f"#EXT-X-PROGRAM-DATE-TIME:{_date(segment.starts_at)}")
        if segment.gap:
            lines.append("#EXT-X-GAP")
        lines.append(f"#EXTINF:{segment.duration:.6f},")
        lines.append(segment.uri)
    if playlist.ended:
        lines.append("#EXT-X-ENDLIST")
    return "\n".join(lines) + "\n"


def render_multivariant(playlist: MultivariantPlaylist) -> str:
    """The text of a multivariant playlist."""
    lines = ["#EXTM3U", "#EXT-X-VERSION:7"]
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


def _key(key: Key | None) -> str:
    if key is None:
        return "#EXT-X-KEY:METHOD=NONE"
    return f'#EXT-X-KEY:METHOD=AES-128,URI="{key.uri}",IV=0x{key.iv.hex()}'


def _date(moment: datetime) -> str:
    """ISO 8601 in UTC with milliseconds (4.4.4.6)."""
    return moment.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
