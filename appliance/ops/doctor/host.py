"""The host as checks see it: its settings, programs and files, and what several checks want to know once."""

from __future__ import annotations

import asyncio
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

from appliance.media.encode.encoder_memory import NVIDIA_DEVICE, SHARED_DIRECTORY
from appliance.media.status_reading import Reading, read_status, streams_on_disk
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY
from appliance.settings import SETTINGS_FILE, Settings
from appliance.subprocesses import Output, run_program

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.names import StreamName

T = TypeVar("T")

NGINX_UNITS: Final = {"ingest": "appliance-ingest.service", "delivery": "appliance-delivery.service"}
"""Configuration /etc/nginx/NAME.conf → the unit that runs with it."""

_COMMAND_SECONDS: Final = 3.0
_MOST_BYTES: Final = 32 << 20
"""The journal of a bad hour, whole."""

USER_AGENT: Final = "appliance-doctor"
"""What the doctor calls itself where it watches, so that its requests can be told from those of viewers."""


@dataclass
class Host:
    """This machine. The paths are where the roles put things.

    `settings` are the defaults where the file cannot be read (`settings_error` says why then); `names` are
    those that others have for it.
    """

    settings: Settings = field(default_factory=Settings)
    settings_error: str | None = None
    settings_file: Path = SETTINGS_FILE
    credentials: Path = CREDENTIALS_DIRECTORY
    nginx_directory: Path = Path("/etc/nginx")
    sysctl_file: Path = Path("/etc/sysctl.d/60-appliance.conf")
    firewall_file: Path = Path("/etc/appliance/firewall.nft")
    load_file: Path = Path("/var/lib/appliance/load.json")
    shared_directory: Path = SHARED_DIRECTORY
    nvidia_device: Path = NVIDIA_DEVICE
    names: tuple[str, ...] = ()
    _known: dict[str, asyncio.Task[Any]] = field(default_factory=dict)

    async def run(self, *command: str, seconds: float = _COMMAND_SECONDS, given: bytes = b"") -> Output:
        """Runs a program with `given` on its standard input; killed when it takes or prints too much."""
        return await run_program(*command, seconds=seconds, given=given, most=_MOST_BYTES)

    async def once(self, name: str, ask: Callable[[], Awaitable[T]]) -> T:
        """What `ask` gives, asked once for all checks."""
        if name not in self._known:
            self._known[name] = asyncio.ensure_future(ask())
        # Shielded: a check whose time is over takes no other's answer along.
        answer: T = await asyncio.shield(self._known[name])
        return answer

    async def statuses(self) -> dict[StreamName, Reading]:
        """What each stream with a directory below the media root wrote last."""
        return await self.once("statuses", lambda: asyncio.to_thread(self._read_statuses))

    def _read_statuses(self) -> dict[StreamName, Reading]:
        root = Path(self.settings.media_root)
        read = {stream: read_status(root / stream) for stream in streams_on_disk(root)}
        return {stream: status for stream, status in read.items() if status is not None}

    def nginx_text(self, name: str) -> str:
        """The configuration of `ingest` or `delivery`; empty when there is none."""
        try:
            return (self.nginx_directory / f"{name}.conf").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def listens(self, name: str) -> list[Listen]:
        """Where `ingest` or `delivery` is to listen."""
        return listens(self.nginx_text(name))

    def container(self) -> bool:
        """Whether this is a container, whose kernel and clock are the machine's (systemd's interface)."""
        return Path("/run/systemd/container").exists()


@dataclass(frozen=True, slots=True)
class Listen:
    """One `listen` of nginx. `public`: on all addresses; `tls`: with TLS."""

    port: int
    public: bool
    tls: bool


_LISTEN: Final = re.compile(
    r"^\s*listen\s+(?:(?P<host>\[[^\]]*\]|[\d.]+|\*):)?(?P<port>\d+)(?P<rest>[^;]*);", re.MULTILINE
)


def listens(text: str) -> list[Listen]:
    """The TCP ports of an nginx configuration (ngx_http_core_module, `listen`), each once."""
    found: dict[int, Listen] = {}
    for match in _LISTEN.finditer(text):
        port, host = int(match["port"]), match["host"] or "*"
        public = not host.startswith(("127.", "[::1]"))
        one = Listen(port, public, " ssl" in match["rest"])
        found.setdefault(port, one)
    return list(found.values())
