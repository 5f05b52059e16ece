"""A reader of what the packager wrote, and the rules that hold for it at any moment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from appliance.media.package.options import PackagingOptions
from appliance.media.package.packager import Packager

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from appliance.secrets.keyring import Keyring
    from appliance.settings import Container


@dataclass
class ListedPart:
    """One part as a playlist lists it."""

    uri: str
    duration: float
    independent: bool
    gap: bool


@dataclass
class Listed:
    """One segment as a playlist lists it; one of which there are only parts has no `uri`."""

    msn: int
    uri: str
    duration: float = 0.0
    starts_at: datetime | None = None
    map_uri: str | None = None
    key_uri: str | None = None
    iv: bytes | None = None
    discontinuity: bool = False
    gap: bool = False
    parts: list[ListedPart] = field(default_factory=list)


@dataclass
class Playlist:
    """A media playlist, read back."""

    text: str
    target: int = 0
    sequence: int = 0
    discontinuity_sequence: int = 0
    ended: bool = False
    independent: bool = False
    segments: list[Listed] = field(default_factory=list)
    part_target: float = 0.0
    control: dict[str, str] = field(default_factory=dict)
    open: Listed | None = None
    hint: str | None = None
    reports: dict[str, tuple[int, int | None]] = field(default_factory=dict)
    skipped: int = 0

    @property
    def media(self) -> list[Listed]:
        """The segments that are there."""
        return [segment for segment in self.segments if not segment.gap]


def read_playlist(text: str) -> Playlist:
    """Reads `text`; asserts that an EXT-X-MAP never stands under a key."""
    playlist = Playlist(
        text,
        target=_number(text, "TARGETDURATION"),
        sequence=_number(text, "MEDIA-SEQUENCE"),
        discontinuity_sequence=_number(text, "DISCONTINUITY-SEQUENCE"),
        ended=text.endswith("\n#EXT-X-ENDLIST\n"),
        independent="#EXT-X-INDEPENDENT-SEGMENTS" in text,
    )
    reader = _Reader(playlist)
    assert text.startswith("#EXTM3U\n")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if not line.startswith("#"):
            reader.uri(line)
        elif name in reader.tags:
            reader.tags[name](value)
    if reader.pending.parts:
        reader.pending.msn = playlist.sequence + playlist.skipped + len(playlist.segments)
        playlist.open = reader.pending
    return playlist


class _Reader:
    def __init__(self, playlist: Playlist) -> None:
        self.playlist = playlist
        self.pending = Listed(0, "")
        self.tags: dict[str, Callable[[str], None]] = {
            "#EXT-X-DISCONTINUITY": lambda _: setattr(self.pending, "discontinuity", True),
            "#EXT-X-GAP": lambda _: setattr(self.pending, "gap", True),
            "#EXTINF": lambda value: setattr(self.pending, "duration", float(value.rstrip(","))),
            "#EXT-X-PROGRAM-DATE-TIME": self._date,
            "#EXT-X-MAP": self._map,
            "#EXT-X-KEY": self._key,
            "#EXT-X-SERVER-CONTROL": lambda value: setattr(playlist, "control", _attributes(value)),
            "#EXT-X-PART-INF": self._part_inf,
            "#EXT-X-SKIP": self._skip,
            "#EXT-X-PART": self._part,
            "#EXT-X-PRELOAD-HINT": self._hint,
            "#EXT-X-RENDITION-REPORT": self._report,
        }
        self._key_now: tuple[str, bytes] | None = None
        self._map_now: str | None = None

    def uri(self, line: str) -> None:
        playlist, pending = self.playlist, self.pending
        pending.uri, pending.map_uri = line, self._map_now
        pending.msn = playlist.sequence + playlist.skipped + len(playlist.segments)
        if not pending.gap:
            pending.key_uri, pending.iv = self._key_now or (None, None)
        playlist.segments.append(pending)
        self.pending = Listed(0, "")

    def _date(self, value: str) -> None:
        self.pending.starts_at = datetime.fromisoformat(value)

    def _map(self, value: str) -> None:
        assert self._key_now is None, "a map under a key"
        self._map_now = _attributes(value)["URI"]

    def _key(self, value: str) -> None:
        self._key_now = _key(value)

    def _part_inf(self, value: str) -> None:
        self.playlist.part_target = float(_attributes(value)["PART-TARGET"])

    def _skip(self, value: str) -> None:
        self.playlist.skipped = int(_attributes(value)["SKIPPED-SEGMENTS"])

    def _part(self, value: str) -> None:
        assert self.pending.starts_at is not None, "a part before its segment's tags"
        assert not self.pending.gap
        named = _attributes(value)
        flags = (named.get(name) == "YES" for name in ("INDEPENDENT", "GAP"))
        self.pending.parts.append(ListedPart(named["URI"], float(named["DURATION"]), *flags))
        self.pending.map_uri = self._map_now
        self.pending.key_uri, self.pending.iv = self._key_now or (None, None)

    def _hint(self, value: str) -> None:
        named = _attributes(value)
        assert named["TYPE"] == "PART"
        assert self.playlist.hint is None
        self.playlist.hint = named["URI"]

    def _report(self, value: str) -> None:
        named = _attributes(value)
        last_part = int(named["LAST-PART"]) if "LAST-PART" in named else None
        self.playlist.reports[named["URI"]] = (int(named["LAST-MSN"]), last_part)


def _attributes(value: str) -> dict[str, str]:
    return {name: text.strip('"') for name, text in re.findall(r'([A-Z-]+)=("[^"]*"|[^,]*)', value)}


def _number(text: str, tag: str) -> int:
    found = re.findall(rf"^#EXT-X-{tag}:(\d+)$", text, re.MULTILINE)
    assert len(found) == 1, f"{tag} stands there {len(found)} times"
    return int(found[0])


def _key(value: str) -> tuple[str, bytes] | None:
    if value == "METHOD=NONE":
        return None
    match = re.fullmatch(r'METHOD=AES-128,URI="([^"]+)",IV=0x([0-9a-f]{32})', value)
    assert match is not None, value
    return match[1], bytes.fromhex(match[2])


def decrypt(data: bytes, key: bytes, iv: bytes) -> bytes:
    decryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).decryptor()
    plain = decryptor.update(data) + decryptor.finalize()
    pad = plain[-1]
    assert plain[-pad:] == bytes([pad]) * pad
    return plain[:-pad]


@dataclass
class Workbench:
    """A packager over a media root, its keyring, and a reader of what it published."""

    root: Path
    keyring: Keyring
    options: PackagingOptions
    stream: str = "demo"

    def packager(self) -> Packager:
        return Packager(self.root, self.stream, self.options, self.keyring)

    @property
    def directory(self) -> Path:
        return self.root / self.stream

    @property
    def suffix(self) -> str:
        """Of whole segments."""
        return "ts" if self.options.container == "mpegts" else "m4s"

    @property
    def shown(self) -> bool:
        """Whether there is a multivariant playlist."""
        return (self.directory / "index.m3u8").exists()

    def multivariant(self) -> str:
        return (self.directory / "index.m3u8").read_text()

    def playlists(self, epoch: str) -> dict[str, Playlist]:
        files = (self.directory / epoch).glob("*/index.m3u8")
        return {path.parent.name: read_playlist(path.read_text()) for path in files}

    def clear(self, epoch: str, rendition: str, segment: Listed) -> bytes:
        """A segment's bytes, decrypted by the key its playlist names."""
        data = (self.directory / epoch / rendition / segment.uri).read_bytes()
        if segment.key_uri is None or segment.iv is None:
            return data
        assert segment.key_uri.startswith("../../keys/")
        key = self.keyring.derive(segment.key_uri.removeprefix("../../keys/"), self.stream)
        return decrypt(data, key, segment.iv)

    def check(self, epoch: str) -> dict[str, Playlist]:
        """Asserts what holds at any moment for the epoch's playlists, and returns them."""
        playlists = self.playlists(epoch)
        ivs: list[bytes | None] = []
        by_msn: dict[int, set[tuple[bool, str | None]]] = {}
        for name, playlist in playlists.items():
            assert playlist.target == max(1, -(-round(self.options.segment_seconds * 1000) // 1000))
            # more only where that many do not last three target durations (RFC 8216, 6.2.2)
            spare = sum(segment.duration for segment in playlist.segments[1:])
            assert len(playlist.segments) <= self.options.window_segments or spare < 3 * playlist.target
            breaks = playlist.discontinuity_sequence
            for segment in playlist.segments:
                breaks += segment.discontinuity
                assert round(segment.duration) <= playlist.target, segment
                assert segment.duration > 0
                assert segment.starts_at is not None
                assert segment.uri == f"{segment.msn}.{self.suffix}"
                path = self.directory / epoch / name / segment.uri
                if segment.gap:
                    assert not path.exists()
                    by_msn.setdefault(segment.msn, set()).add((segment.discontinuity, None))
                    continue
                assert path.stat().st_size > 0
                self.check_content(epoch, name, segment)
                self.check_parts(epoch, name, playlist, segment)
                ivs.append(segment.iv)
                by_msn.setdefault(segment.msn, set()).add((segment.discontinuity, segment.key_uri))
            if playlist.open is not None:
                self.check_parts(epoch, name, playlist, playlist.open)
                ivs.append(playlist.open.iv)
            self.check_low_latency(name, playlist)
        ivs = [iv for iv in ivs if iv is not None]
        assert len(ivs) == len(set(ivs)), "an IV was used twice"
        for msn, views in by_msn.items():
            assert len({discontinuity for discontinuity, _ in views}) == 1, f"discontinuity differs at {msn}"
            assert len({key for _, key in views if key is not None}) <= 1, f"key differs at {msn}"
        return playlists

    def check_content(self, epoch: str, name: str, segment: Listed) -> None:
        """Asserts that a whole segment is what the options say."""
        clear = self.clear(epoch, name, segment)
        if self.options.container == "mpegts":
            assert segment.map_uri is None
            # Sync byte, start of a section, of PID 0: the program association table.
            assert clear[:3] == b"\x47\x40\0"
            assert len(clear) % 188 == 0
            return
        assert segment.map_uri is not None
        assert (self.directory / epoch / name / segment.map_uri).stat().st_size > 0
        assert clear[4:8] == b"moof"

    def check_parts(self, epoch: str, name: str, playlist: Playlist, segment: Listed) -> None:
        """Asserts what holds for a segment's parts: their names, lengths, files and content."""
        folder = self.directory / epoch / name
        for number, part in enumerate(segment.parts):
            assert part.uri == f"{segment.msn}.{number}.m4s"
            assert 0 < part.duration <= playlist.part_target + 1e-9, part
            assert (folder / part.uri).exists() is not part.gap
            if not part.gap:
                alone = replace(segment, uri=part.uri)
                assert self.clear(epoch, name, alone)[4:8] == b"moof"
        if segment.parts and segment.uri:
            total = sum(part.duration for part in segment.parts)
            assert abs(total - segment.duration) < 1e-5 * len(segment.parts)

    def check_low_latency(self, name: str, playlist: Playlist) -> None:
        """Asserts what holds for the tags of a low-latency playlist (RFC 8216bis, 4.4.3.8 and 4.4.5)."""
        assert bool(playlist.control) == bool(playlist.part_target) == bool(self.options.part_seconds)
        if not playlist.part_target:
            assert not playlist.open
            assert not playlist.hint
            assert not playlist.reports
            return
        assert playlist.part_target == self.options.part_seconds
        assert playlist.control["CAN-BLOCK-RELOAD"] == "YES"
        assert float(playlist.control["PART-HOLD-BACK"]) >= 3 * playlist.part_target - 1e-9
        assert float(playlist.control["HOLD-BACK"]) >= 3 * playlist.target
        assert float(playlist.control["CAN-SKIP-UNTIL"]) >= 6 * playlist.target
        assert f"../{name}/index.m3u8" not in playlist.reports
        if playlist.ended:
            assert playlist.hint is None
            assert playlist.open is None
        newest = playlist.open.msn if playlist.open else playlist.sequence + len(playlist.segments) - 1
        known = len(playlist.open.parts) if playlist.open else 0
        if playlist.hint is not None:
            assert playlist.hint in (f"{newest}.{known}.m4s", f"{newest + 1}.0.m4s")
        # Parts are listed at the live edge, and there without holes (6.2.2).
        recent = [bool(item.parts) for item in playlist.segments if not item.gap]
        assert recent == sorted(recent)


def options(
    *,
    segment: float = 2.0,
    window: int = 6,
    rotation: float = 300.0,
    encryption: Literal["aes-128", "none"] = "aes-128",
    part: float = 0,
    container: Container = "fmp4",
) -> PackagingOptions:
    return PackagingOptions(segment, window, rotation, encryption, part, container)
