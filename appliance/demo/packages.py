"""Keep the Debian packages that a demo host has downloaded, and give them to the next one.

apt checks each against its signed index before it uses it, so a stale or damaged file costs a download, not a
wrong installation.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

ARCHIVES = "/var/cache/apt/archives"
STALE_VERSIONS = 2
"""How many versions of one package are kept; a mirror serves no more than one or two."""


@dataclass(frozen=True)
class Packages:
    """The cache on this machine and the host it serves."""

    folder: Path
    ssh: Sequence[str]

    def offer(self, say: Callable[[str], None]) -> None:
        """Copy what is cached to a host that has no packages yet; a failure costs only time."""
        cached = sorted(self.folder.glob("*.deb"))
        if not cached or self._on_host():
            return
        pack = subprocess.Popen(
            ["tar", "--create", "--directory", str(self.folder), *(file.name for file in cached)],
            stdout=subprocess.PIPE,
        )
        unpack = subprocess.run(
            [*self.ssh, f"tar --extract --no-same-owner --directory {ARCHIVES}"],
            stdin=pack.stdout,
            check=False,
            capture_output=True,
        )
        ok = pack.wait() == 0 and unpack.returncode == 0
        say(
            f"gave it {len(cached)} cached packages"
            if ok
            else "the package cache could not be copied; apt downloads"
        )

    def keep(self, say: Callable[[str], None]) -> None:
        """Copy the packages that the host has and the cache has not, and drop old versions."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = [name for name in self._on_host() if not (self.folder / name).exists()]
        if missing:
            # apt-get keeps what it downloaded; half-written files are elsewhere (partial/)
            listing = "\n".join(missing)
            pack = subprocess.run(
                [*self.ssh, f"tar --create --directory {ARCHIVES} --files-from -"],
                input=listing.encode(),
                capture_output=True,
                check=False,
            )
            unpack = subprocess.run(
                ["tar", "--extract", "--no-same-owner", "--directory", str(self.folder)],
                input=pack.stdout,
                capture_output=True,
                check=False,
            )
            if pack.returncode == 0 and unpack.returncode == 0:
                say(f"kept {len(missing)} packages for the next host")
        self._drop_stale()

    def _on_host(self) -> list[str]:
        listed = subprocess.run(
            [*self.ssh, f"ls {ARCHIVES}"],
            capture_output=True,
            text=True,
            check=False,
            stdin=subprocess.DEVNULL,
        )
        return [name for name in listed.stdout.split() if name.endswith(".deb") and "/" not in name]

    def _drop_stale(self) -> None:
        by_name: dict[str, list[Path]] = {}
        for file in self.folder.glob("*.deb"):
            by_name.setdefault(file.name.split("_")[0], []).append(file)
        for files in by_name.values():
            for file in sorted(files, key=lambda f: f.stat().st_mtime)[:-STALE_VERSIONS]:
                file.unlink()
