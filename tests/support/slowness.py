"""Make a host too slow for one stream's ladder, when a test says so."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support import slow_ffmpeg
from tests.support.site import Site

_FOLDER = "/run/appliance-test"
_INSTALL = """
mkdir -p "$1" "$2"
printf '%s' "$3" > "$1/ffmpeg"
chmod 755 "$1/ffmpeg"
printf '[Service]\\nEnvironment=PATH=%s:/usr/bin:/bin\\n' "$1" > "$2/slow.conf"
systemctl daemon-reload
"""
_REMOVE = """
rm -rf "$1" "$2"
systemctl daemon-reload
"""


@dataclass(frozen=True)
class Slowness:
    """What decides over the speed of a stream's FFmpeg."""

    site: Site

    def begin(self) -> None:
        """From now on FFmpeg takes half of what arrives."""
        self.site.run("touch", f"{_FOLDER}/{slow_ffmpeg.SLOW.name}")

    def end(self) -> None:
        """From now on it takes all again, what waits first."""
        self.site.run("rm", "-f", f"{_FOLDER}/{slow_ffmpeg.SLOW.name}")


@contextmanager
def slowness(site: Site, stream: str) -> Iterator[Slowness]:
    """Give the unit of `stream`, when it is started in this block, an FFmpeg whose speed can be set."""
    dropins = f"/run/systemd/system/stream@{stream}.service.d"
    site.run("sh", "-ec", _INSTALL, "sh", _FOLDER, dropins, Path(slow_ffmpeg.__file__).read_text())
    try:
        yield Slowness(site)
    finally:
        site.run("sh", "-ec", _REMOVE, "sh", _FOLDER, dropins)
