"""Reads what a session has published, as a player would: playlists, runs, clear media."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.padding import PKCS7

from appliance.secrets.keyring import Keyring


@dataclass
class Run:
    """The segments between two discontinuities."""

    init: Path | None
    """None where segments need none."""
    segments: list[tuple[Path, str, str]] = field(default_factory=list)  # file, key id, IV


@dataclass(frozen=True)
class Published:
    """The files of one stream."""

    root: Path
    stream: str
    keyring: Keyring | None

    @property
    def multivariant(self) -> str:
        path = self.root / self.stream / "index.m3u8"
        return path.read_text(encoding="utf-8") if path.exists() else ""

    @property
    def renditions(self) -> list[str]:
        return re.findall(r"[^/\"]+(?=/index\.m3u8)", self.multivariant)

    @property
    def epochs(self) -> list[str]:
        return sorted(set(re.findall(rf"{self.stream}/([^/]+)/[^/]+/index\.m3u8", self.multivariant)))

    def playlist(self, rendition: str) -> str:
        match = re.search(rf"{self.stream}/([^/]+/{rendition}/index\.m3u8)", self.multivariant)
        if match is None:
            return ""
        path = self.root / self.stream / match[1]
        return path.read_text(encoding="utf-8") if path.exists() else ""

    def listed(self, rendition: str) -> str:
        """The playlist without its gaps: what can be fetched."""
        gap = r"#EXT-X-PROGRAM-DATE-TIME.*\n(#EXT-X-PART:.*\n)*#EXT-X-GAP\n#EXTINF.*\n.*\n"
        return re.sub(gap, "", self.playlist(rendition))

    def count(self, rendition: str) -> int:
        return self.listed(rendition).count("#EXTINF")

    def times(self, rendition: str) -> list[tuple[datetime, float]]:
        """When each segment begins by its date, and how many seconds it lasts."""
        pairs = re.findall(r"DATE-TIME:(\S+)\n(?:#.*\n)*?#EXTINF:([\d.]+)", self.listed(rendition))
        return [(datetime.fromisoformat(date), float(seconds)) for date, seconds in pairs]

    def runs(self, rendition: str) -> list[Run]:
        match = re.search(rf"{self.stream}/([^/]+/{rendition})/index\.m3u8", self.multivariant)
        assert match is not None, self.multivariant
        folder = self.root / self.stream / match[1]
        runs: list[Run] = []
        init: Path | None = None
        key, iv = "", ""
        begins = True
        for line in self.listed(rendition).splitlines():
            if line == "#EXT-X-DISCONTINUITY":
                begins = True
            elif line.startswith("#EXT-X-MAP"):
                init = folder / line.split('"')[1]
            elif line.startswith("#EXT-X-KEY:METHOD=AES-128"):
                key = line.split('"')[1].rpartition("/")[2]
                iv = line.partition("IV=0x")[2]
            elif line and not line.startswith("#"):
                if begins:
                    runs.append(Run(init))
                    begins = False
                runs[-1].segments.append((folder / line, key, iv))
        return runs

    def media(self, rendition: str, run: int = -1) -> bytes:
        """The clear bytes of one run: its init section and its segments."""
        init = self.runs(rendition)[run].init
        return (init.read_bytes() if init else b"") + b"".join(self.segments(rendition, run))

    def segments(self, rendition: str, run: int = -1) -> list[bytes]:
        """The clear bytes of each segment of one run."""
        return [self._clear(*segment) for segment in self.runs(rendition)[run].segments]

    def _clear(self, path: Path, key: str, iv: str) -> bytes:
        data = path.read_bytes()
        if self.keyring is None:
            return data
        secret = self.keyring.derive(key, self.stream)
        decryptor = Cipher(algorithms.AES(secret), modes.CBC(bytes.fromhex(iv))).decryptor()
        padded = decryptor.update(data) + decryptor.finalize()
        unpadder = PKCS7(128).unpadder()
        return unpadder.update(padded) + unpadder.finalize()
