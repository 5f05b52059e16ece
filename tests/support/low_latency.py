"""Read what low latency adds to a media playlist (draft-pantos-hls-rfc8216bis; its section numbers)."""

from __future__ import annotations

from dataclasses import dataclass, field
from urllib.parse import urljoin

from tests.support.playlists import Key, MediaPlaylist, attributes, parse_media


@dataclass(frozen=True)
class Part:
    """EXT-X-PART (4.4.4.9)."""

    url: str
    duration: float
    """Seconds."""
    independent: bool
    gap: bool
    key: Key | None = None
    """Its segment's."""
    map_url: str | None = None


@dataclass(frozen=True)
class Report:
    """EXT-X-RENDITION-REPORT (4.4.5.4)."""

    url: str
    last_msn: int
    last_part: int


@dataclass(frozen=True)
class LowLatencyPlaylist:
    """A media playlist and its tags of low latency."""

    plain: MediaPlaylist
    part_target: float
    """EXT-X-PART-INF, seconds."""
    control: dict[str, str]
    """EXT-X-SERVER-CONTROL."""
    skipped: int
    """EXT-X-SKIP, segments left out of `plain` after EXT-X-MEDIA-SEQUENCE; its numbers count without them."""
    parts: dict[int, list[Part]] = field(default_factory=dict)
    """By media sequence number; the open segment's are under a number that `plain` does not have."""
    hint: str | None = None
    """URL of EXT-X-PRELOAD-HINT."""
    reports: list[Report] = field(default_factory=list)

    @property
    def newest(self) -> tuple[int, int]:
        """Media sequence number and part number of the newest part."""
        last = self.plain.last + self.skipped
        if last + 1 in self.parts:
            return last + 1, len(self.parts[last + 1]) - 1
        return last, len(self.parts.get(last, [None])) - 1


def parse(url: str, text: str) -> LowLatencyPlaylist:
    """Read a media playlist with parts; `skipped` segments of a delta update are not in it."""
    plain = parse_media(url, text)
    control: dict[str, str] = {}
    parts: dict[int, list[Part]] = {}
    reports: list[Report] = []
    target, skipped, hint, number = 0.0, 0, None, 0
    key: Key | None = None
    map_url: str | None = None
    for line in text.splitlines():
        tag, _, value = line.partition(":")
        match tag:
            case "#EXT-X-MEDIA-SEQUENCE":
                number += int(value)
            case "#EXT-X-SKIP":
                skipped = int(attributes(value)["SKIPPED-SEGMENTS"])
                number += skipped
            case "#EXT-X-PART-INF":
                target = float(attributes(value)["PART-TARGET"])
            case "#EXT-X-SERVER-CONTROL":
                control = attributes(value)
            case "#EXT-X-MAP":
                map_url = urljoin(url, attributes(value)["URI"])
            case "#EXT-X-KEY":
                found = attributes(value)
                key = None if found["METHOD"] == "NONE" else Key(
                    found["METHOD"], urljoin(url, found["URI"]), found.get("IV", "")
                )  # fmt: skip
            case "#EXT-X-PART":
                found = attributes(value)
                parts.setdefault(number, []).append(
                    Part(
                        urljoin(url, found["URI"]),
                        float(found["DURATION"]),
                        found.get("INDEPENDENT") == "YES",
                        found.get("GAP") == "YES",
                        key,
                        map_url,
                    )
                )
            case "#EXT-X-PRELOAD-HINT":
                found = attributes(value)
                assert found["TYPE"] == "PART", f"a hint of type {found['TYPE']}"
                assert hint is None, "two hints"
                hint = urljoin(url, found["URI"])
            case "#EXT-X-RENDITION-REPORT":
                found = attributes(value)
                reports.append(
                    Report(
                        urljoin(url, found["URI"]), int(found["LAST-MSN"]), int(found.get("LAST-PART", -1))
                    )
                )
            case _ if line and not line.startswith("#"):
                number += 1
    return LowLatencyPlaylist(plain, target, control, skipped, parts, hint, reports)
