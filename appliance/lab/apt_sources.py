"""The Debian mirrors of this machine, read from its own apt configuration.

The lab downloads from where the machine itself does: a mirror in the same network, with the
proxy and the certificates it needs. Formats: sources.list(5), one-line and deb822 style.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from appliance.errors import OperatorError
from appliance.lab.command import run

COPIED_OPTIONS = (
    "Acquire::http::Proxy",
    "Acquire::https::Proxy",
    "Acquire::Check-Valid-Until",
    "Acquire::Check-Date",
)
"""apt.conf(5) options without which the machine's mirrors may not be usable; the guests get them too."""


@dataclass(frozen=True)
class Mirrors:
    """Base addresses of the archive and of its security updates (None where the machine has none)."""

    main: str
    security: str | None

    def sources(self, release: str) -> list[str]:
        """Return one-line sources for a release (a code name, for example `trixie`)."""
        lines = [f"deb {self.main} {suite} main" for suite in (release, f"{release}-updates")]
        if self.security:
            lines.append(f"deb {self.security} {release}-security main")
        return lines


def entries(text: str) -> list[tuple[str, str]]:
    """Return the (URI, suite) pairs of one sources file, binary packages only."""
    found = []
    if re.search(r"^URIs:", text, re.MULTILINE | re.IGNORECASE):
        bare = re.sub(r"^#.*\n?", "", text, flags=re.MULTILINE)
        for paragraph in re.split(r"\n\s*\n", bare):
            fields = {
                key.lower(): value.split()
                for key, value in re.findall(
                    r"^([A-Za-z-]+):((?:.*\n?)(?:[ \t].*\n?)*)", paragraph, re.MULTILINE
                )
            }
            if "deb" in fields.get("types", []) and fields.get("enabled", ["yes"])[0].lower() != "no":
                found += [
                    (uri, suite) for uri in fields.get("uris", []) for suite in fields.get("suites", [])
                ]
        return found
    for line in text.splitlines():
        match = re.match(r"deb\s+(?:\[[^\]]*\]\s+)?(\S+)\s+(\S+)", line.strip())
        if match:
            found.append((match[1], match[2]))
    return found


def choose(pairs: list[tuple[str, str]], release: str) -> Mirrors | None:
    """Pick Debian's archive among the (URI, suite) pairs of a machine whose code name is `release`."""
    usable = [(uri.rstrip("/"), suite) for uri, suite in pairs if uri.startswith(("http://", "https://"))]
    main = next((uri for uri, suite in usable if suite == release), None)
    security = next((uri for uri, suite in usable if suite == f"{release}-security"), None)
    return Mirrors(main, security) if main else None


def machine_mirrors(root: Path = Path("/")) -> Mirrors:
    """Return the mirrors this machine uses.

    Raises:
        OperatorError: it is no Debian, or has no http(s) source for its own release.
    """
    release = ""
    for line in (root / "etc/os-release").read_text().splitlines():
        if line.startswith("VERSION_CODENAME="):
            release = line.partition("=")[2].strip('"')
    pairs = []
    parts = root / "etc/apt/sources.list.d"
    files = [root / "etc/apt/sources.list", *sorted(parts.glob("*.list")), *sorted(parts.glob("*.sources"))]
    for file in files:
        if file.is_file():
            pairs += entries(file.read_text())
    mirrors = choose(pairs, release)
    if mirrors is None:
        raise OperatorError(
            f"no http(s) source for Debian {release or '(unknown release)'} in /etc/apt/sources.list or "
            "/etc/apt/sources.list.d: the lab takes its packages from where this machine takes its own",
            hint="add Debian's archive to /etc/apt/sources.list",
        )
    return mirrors


def machine_options() -> list[str]:
    """Return those of `COPIED_OPTIONS` that this machine sets, in apt.conf(5) form."""
    found = []
    for line in run(["apt-config", "dump", *COPIED_OPTIONS]).splitlines():
        name, _, value = line.partition(" ")
        if name in COPIED_OPTIONS and value not in ('"";', ""):
            found.append(line)
    return found
