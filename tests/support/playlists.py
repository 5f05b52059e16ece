"""Read HLS playlists strictly and say what in them breaks RFC 8216 or Apple's authoring specification."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from urllib.parse import urljoin

_ATTRIBUTE = re.compile(r'([A-Z0-9-]+)=("[^"]*"|[^",]+)(?:,|$)')


def attributes(text: str) -> dict[str, str]:
    """Read an attribute list (RFC 8216 section 4.2); quotes are taken off."""
    found = _ATTRIBUTE.findall(text)
    assert ",".join(f"{name}={value}" for name, value in found) == text, f"not an attribute list: {text!r}"
    assert len({name for name, _ in found}) == len(found), f"an attribute stands twice: {text!r}"
    return {name: value.strip('"') for name, value in found}


@dataclass(frozen=True)
class Key:
    """EXT-X-KEY."""

    method: str
    url: str
    iv: str


@dataclass(frozen=True)
class Segment:
    """One media segment and what applies to it."""

    number: int
    """Media sequence number."""
    url: str
    duration: float
    """Seconds."""
    map_url: str | None
    map_encrypted: bool
    """Whether an EXT-X-KEY stood before the EXT-X-MAP, which then applies to it as well."""
    key: Key | None
    time: datetime | None
    discontinuity: bool


@dataclass(frozen=True)
class MediaPlaylist:
    """A playlist of segments."""

    url: str
    version: int
    target: int
    segments: list[Segment]
    """Those that are there."""
    ended: bool
    tags: list[str]
    gaps: list[int]
    """Numbers of those that are not (EXT-X-GAP)."""

    @property
    def numbers(self) -> list[int]:
        """Of the segments and gaps, in order."""
        return sorted([*(segment.number for segment in self.segments), *self.gaps])

    @property
    def last(self) -> int:
        """Number of the newest segment or gap, -1 when there is none."""
        return max(self.numbers, default=-1)


@dataclass(frozen=True)
class Variant:
    """EXT-X-STREAM-INF."""

    url: str
    attributes: dict[str, str]


@dataclass(frozen=True)
class Multivariant:
    """A multivariant playlist."""

    url: str
    variants: list[Variant]
    media: list[dict[str, str]] = field(default_factory=list)
    tags: list[str] = field(default_factory=list)

    @property
    def audio_url(self) -> str | None:
        """The audio rendition's playlist."""
        uris = [item["URI"] for item in self.media if item["TYPE"] == "AUDIO" and "URI" in item]
        return urljoin(self.url, uris[0]) if uris else None

    @property
    def urls(self) -> list[str]:
        """All media playlists."""
        named = [variant.url for variant in self.variants] + ([self.audio_url] if self.audio_url else [])
        return list(dict.fromkeys(named))


def _lines(text: str) -> list[str]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    assert lines[:1] == ["#EXTM3U"], f"no playlist: {text[:120]!r}"
    return lines[1:]


def parse_multivariant(url: str, text: str) -> Multivariant:
    """Read a multivariant playlist."""
    lines, variants, media = _lines(text), [], []
    for index, line in enumerate(lines):
        if line.startswith("#EXT-X-STREAM-INF:"):
            assert not lines[index + 1].startswith("#"), "EXT-X-STREAM-INF without its URI"
            variants.append(Variant(urljoin(url, lines[index + 1]), attributes(line.partition(":")[2])))
        elif line.startswith("#EXT-X-MEDIA:"):
            media.append(attributes(line.partition(":")[2]))
    return Multivariant(url, variants, media, [line for line in lines if line.startswith("#EXT")])


def parse_media(url: str, text: str) -> MediaPlaylist:
    """Read a media playlist."""
    lines = _lines(text)
    header = {name: value for name, _, value in (line.partition(":") for line in lines)}
    number = int(header.get("#EXT-X-MEDIA-SEQUENCE", "0"))
    segments: list[Segment] = []
    gaps: list[int] = []
    key: Key | None = None
    map_url, map_encrypted, time, broken, duration, gap = None, False, None, False, None, False
    for line in lines:
        tag, _, value = line.partition(":")
        if tag == "#EXT-X-KEY":
            found = attributes(value)
            key = None if found["METHOD"] == "NONE" else Key(
                found["METHOD"], urljoin(url, found["URI"]), found.get("IV", "")
            )  # fmt: skip
        elif tag == "#EXT-X-MAP":
            map_url, map_encrypted = urljoin(url, attributes(value)["URI"]), key is not None
        elif tag == "#EXT-X-PROGRAM-DATE-TIME":
            time = datetime.fromisoformat(value)
        elif tag == "#EXT-X-DISCONTINUITY":
            broken = True
        elif tag == "#EXT-X-GAP":
            gap = True
        elif tag == "#EXTINF":
            duration = float(value.partition(",")[0])
        elif not line.startswith("#"):
            assert duration is not None, f"{line} has no EXTINF"
            found_segment = Segment(
                number, urljoin(url, line), duration, map_url, map_encrypted, key, time, broken
            )
            if gap:
                gaps.append(number)
            else:
                segments.append(found_segment)
            number, time, broken, duration, gap = number + 1, None, False, None, False
    return MediaPlaylist(
        url,
        int(header.get("#EXT-X-VERSION", "1")),
        int(header["#EXT-X-TARGETDURATION"]),
        segments,
        "#EXT-X-ENDLIST" in header,
        [line for line in lines if line.startswith("#EXT")],
        gaps,
    )


def multivariant_problems(playlist: Multivariant) -> list[str]:
    """Return what is wrong with a multivariant playlist."""
    found = []
    if not playlist.variants:
        found.append("no variant")
    if "#EXT-X-INDEPENDENT-SEGMENTS" not in playlist.tags:
        found.append("no EXT-X-INDEPENDENT-SEGMENTS")
    groups = {item["GROUP-ID"] for item in playlist.media}
    for variant in playlist.variants:
        has = variant.attributes
        wanted = ["BANDWIDTH", "AVERAGE-BANDWIDTH", "CODECS"]
        if "avc1" in has.get("CODECS", ""):
            wanted += ["RESOLUTION", "FRAME-RATE"]
        found += [f"{variant.url}: no {name}" for name in wanted if name not in has]
        if int(has.get("AVERAGE-BANDWIDTH", 0)) > int(has.get("BANDWIDTH", 0)):
            found.append(f"{variant.url}: AVERAGE-BANDWIDTH above BANDWIDTH")
        if "AUDIO" in has and has["AUDIO"] not in groups:
            found.append(f"{variant.url}: audio group {has['AUDIO']} does not exist")
    return found


def media_problems(playlist: MediaPlaylist) -> list[str]:
    """Return what is wrong with a live, encrypted media playlist of fragmented MP4."""
    found = []
    if playlist.version < 6:  # EXT-X-MAP in a playlist without I-FRAMES-ONLY (RFC 8216 section 7)
        found.append(f"version {playlist.version}")
    if "#EXT-X-INDEPENDENT-SEGMENTS" not in playlist.tags:
        found.append("no EXT-X-INDEPENDENT-SEGMENTS")
    if not any(tag.startswith("#EXT-X-DISCONTINUITY-SEQUENCE") for tag in playlist.tags):
        found.append("no EXT-X-DISCONTINUITY-SEQUENCE")
    for segment in playlist.segments:
        name = f"segment {segment.number}"
        if round(segment.duration) > playlist.target:
            found.append(f"{name}: {segment.duration} s with a target of {playlist.target} s")
        if segment.key is None or segment.key.method != "AES-128":
            found.append(f"{name}: not AES-128")
        elif not re.fullmatch(r"0[xX][0-9a-fA-F]{32}", segment.key.iv):
            found.append(f"{name}: IV {segment.key.iv!r}")
        if segment.map_url is None or segment.map_encrypted:
            found.append(f"{name}: EXT-X-MAP missing, or after the key")
        if segment.time is None:
            found.append(f"{name}: no PROGRAM-DATE-TIME")
    ivs = [segment.key.iv for segment in playlist.segments if segment.key]
    if len(set(ivs)) != len(ivs):
        found.append("an IV stands twice")
    return found
