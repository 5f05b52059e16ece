"""A reader of what the packager wrote, and the rules that hold for it at any moment."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Literal

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from appliance.media.package.packager import Packager, PackagingOptions

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.secrets.keyring import Keyring


@dataclass
class Listed:
    """One segment as a playlist lists it."""

    msn: int
    uri: str
    duration: float = 0.0
    starts_at: datetime | None = None
    map_uri: str | None = None
    key_uri: str | None = None
    iv: bytes | None = None
    discontinuity: bool = False
    gap: bool = False


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
    key: tuple[str, bytes] | None = None
    map_uri = None
    pending = Listed(0, "")
    assert text.startswith("#EXTM3U\n")
    for line in text.splitlines():
        name, _, value = line.partition(":")
        quoted = re.search(r'URI="([^"]*)"', value)
        match name:
            case "#EXT-X-DISCONTINUITY":
                pending.discontinuity = True
            case "#EXT-X-GAP":
                pending.gap = True
            case "#EXTINF":
                pending.duration = float(value.rstrip(","))
            case "#EXT-X-PROGRAM-DATE-TIME":
                pending.starts_at = datetime.fromisoformat(value)
            case "#EXT-X-MAP":
                assert key is None, "a map under a key"
                assert quoted is not None
                map_uri = quoted[1]
            case "#EXT-X-KEY":
                key = _key(value)
            case _ if line and not line.startswith("#"):
                pending.uri, pending.map_uri = line, map_uri
                pending.msn = playlist.sequence + len(playlist.segments)
                if key is not None and not pending.gap:
                    pending.key_uri, pending.iv = key
                playlist.segments.append(pending)
                pending = Listed(0, "")
    return playlist


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
        ivs: list[bytes] = []
        by_msn: dict[int, set[tuple[bool, str | None]]] = {}
        for name, playlist in playlists.items():
            assert playlist.target == max(1, -(-round(self.options.segment_seconds * 1000) // 1000))
            assert len(playlist.segments) <= self.options.window_segments
            breaks = playlist.discontinuity_sequence
            for segment in playlist.segments:
                breaks += segment.discontinuity
                assert round(segment.duration) <= playlist.target, segment
                assert segment.duration > 0
                assert segment.starts_at is not None
                assert segment.uri == f"{segment.msn}.m4s"
                path = self.directory / epoch / name / segment.uri
                if segment.gap:
                    assert not path.exists()
                    by_msn.setdefault(segment.msn, set()).add((segment.discontinuity, None))
                    continue
                assert path.stat().st_size > 0
                assert segment.map_uri is not None
                assert (path.parent / segment.map_uri).stat().st_size > 0
                assert self.clear(epoch, name, segment)[4:8] == b"moof"
                if segment.iv is not None:
                    ivs.append(segment.iv)
                by_msn.setdefault(segment.msn, set()).add((segment.discontinuity, segment.key_uri))
        assert len(ivs) == len(set(ivs)), "an IV was used twice"
        for msn, views in by_msn.items():
            assert len({discontinuity for discontinuity, _ in views}) == 1, f"discontinuity differs at {msn}"
            assert len({key for _, key in views if key is not None}) <= 1, f"key differs at {msn}"
        return playlists


def options(
    *,
    segment: float = 2.0,
    window: int = 6,
    rotation: float = 300.0,
    encryption: Literal["aes-128", "none"] = "aes-128",
) -> PackagingOptions:
    return PackagingOptions(segment, window, rotation, encryption)
