"""The service's neighbours as processes of the tests' own: Valkey, nginx, a bus with a systemd on it."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import shutil
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape

from tests.support import debian
from tests.support.listening import free_port

CHECKOUT = Path(__file__).resolve().parents[3]
RTMP_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


@functools.cache
def valkey_command() -> tuple[str, ...]:
    """How to run a Valkey: the machine's own, else Debian 13's unpacked into the cache, else Redis.

    Debian 12 has no Valkey. The package of Debian 13 runs there with its own loader and libraries.
    """
    if found := shutil.which("valkey-server"):
        return (found,)
    if (root := debian.unpacked("valkey-trixie", "valkey-server")) is not None:
        return debian.program(root, "usr/bin/valkey-server")
    if found := shutil.which("redis-server"):
        return (found,)
    raise AssertionError("no Valkey: apt-get install mmdebstrap (or valkey-server, or redis-server)")


class Process(Protocol):
    """What is asked of a process that runs."""

    @property
    def pid(self) -> int: ...

    @property
    def returncode(self) -> int | None: ...

    def send_signal(self, signal: int, /) -> None: ...

    async def wait(self) -> int: ...


@dataclass
class Server:
    """One process that can be killed, frozen and started again."""

    command: list[str]
    directory: Path
    environment: dict[str, str] = field(default_factory=dict)
    process: Process | None = None

    @property
    def log(self) -> Path:
        """What it said."""
        return self.directory / "log"

    async def start(self) -> None:
        """Starts it; `wait` says when it is ready."""
        self.directory.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *self.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self.environment},
                cwd=self.directory,
            )

    async def until(self, address: Path | int) -> None:
        """Waits until somebody listens on a unix socket or a port of 127.0.0.1."""
        assert self.process is not None
        async with asyncio.timeout(20):
            while True:
                with contextlib.suppress(OSError):
                    if isinstance(address, Path):
                        _, writer = await asyncio.open_unix_connection(str(address))
                    else:
                        _, writer = await asyncio.open_connection("127.0.0.1", address)
                    writer.close()
                    return
                assert self.process.returncode is None, self.log.read_text()
                await asyncio.sleep(0.02)

    def send(self, number: signal.Signals) -> None:
        """Sends a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Ends it and waits until it is gone."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
        await self.process.wait()


class Valkey(Server):
    """The state, configured by the role's own template where that matters (ACL file, append-only file)."""

    def __init__(self, directory: Path, password: str) -> None:
        self.socket = directory / "valkey.sock"
        acl = directory / "users.acl"
        directory.mkdir(parents=True)
        digest = hashlib.sha256(password.encode()).hexdigest()
        acl.write_text(f"user default on sanitize-payload #{digest} ~* &* +@all\n")
        template = _templates("valkey").get_template("appliance.conf.j2")
        text = template.render(
            valkey_socket=self.socket,
            _valkey_acl_file=acl,
            valkey_maxclients=1000,
            valkey_appendfsync="everysec",
            valkey_maxmemory="64mb",
        )
        # Redis 7 stands in where there is no Valkey; it does not know this name.
        lines = [line for line in text.splitlines() if not line.startswith("hide-user-data-from-log")]
        (directory / "valkey.conf").write_text("\n".join(lines).replace("/var/lib/valkey", str(directory)))
        super().__init__([*valkey_command(), str(directory / "valkey.conf")], directory)

    async def up(self) -> None:
        """Starts it and waits until it takes connections."""
        await self.start()
        await self.until(self.socket)


class Nginx(Server):
    """The ingest nginx with the role's own template, on ports of its own."""

    def __init__(self, directory: Path, control_port: int, *, players: str = "127.0.0.1") -> None:
        assert RTMP_MODULE.exists(), "apt-get install nginx libnginx-mod-rtmp"
        self.rtmp_port, self.stat_port = free_port(), free_port()
        self.control_socket = directory / "control.sock"
        directory.mkdir(parents=True)
        text = (
            _templates("ingest")
            .get_template("ingest.conf.j2")
            .render(
                ingest_rtmp_port=self.rtmp_port,
                ingest_stat_port=self.stat_port,
                _ingest_players=players,
                _ingest_control_socket=str(self.control_socket),
                _ingest_control_url=f"http://127.0.0.1:{control_port}",
                ingest_worker_connections=512,
                ingest_drop_idle_publisher_seconds=10,
                ingest_max_message_bytes=1 << 20,
                ingest_ipv6=False,
            )
        )
        # Our own nginx has the module compiled in; here it is Debian's, loaded.
        config = f"load_module {RTMP_MODULE};\nuser root;\ndaemon off;\nmaster_process off;\n{text}"
        (directory / "nginx.conf").write_text(config)
        command = ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf"), "-e", "stderr"]
        super().__init__(command, directory)

    @property
    def url(self) -> str:
        """The application to publish to."""
        return f"rtmp://127.0.0.1:{self.rtmp_port}/live"

    @property
    def stat_url(self) -> str:
        """Its statistics."""
        return f"http://127.0.0.1:{self.stat_port}/stat"

    async def up(self) -> None:
        """Starts it and waits until it takes connections."""
        # A socket's file outlives a killed nginx; systemd empties the unit's runtime directory.
        self.control_socket.unlink(missing_ok=True)
        await self.start()
        await self.until(self.rtmp_port)


class Bus(Server):
    """A D-Bus daemon that takes the place of the system's."""

    def __init__(self, directory: Path) -> None:
        self.socket = directory / "bus"
        directory.mkdir(parents=True)
        (directory / "bus.conf").write_text(
            "<!DOCTYPE busconfig PUBLIC '-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN' "
            "'http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd'>"
            f"<busconfig><type>system</type><listen>unix:path={self.socket}</listen><auth>EXTERNAL</auth>"
            "<policy context='default'><allow send_destination='*'/><allow receive_sender='*'/>"
            "<allow own='*'/></policy></busconfig>"
        )
        command = ["dbus-daemon", "--nofork", f"--config-file={directory / 'bus.conf'}"]
        super().__init__(command, directory)

    @property
    def address(self) -> str:
        """What DBUS_SYSTEM_BUS_ADDRESS is set to."""
        return f"unix:path={self.socket}"

    async def up(self) -> None:
        """Starts it and waits until it takes connections."""
        await self.start()
        await self.until(self.socket)


def _templates(role: str) -> Environment:
    loader = FileSystemLoader(CHECKOUT / "roles" / role / "templates")
    return Environment(
        loader=loader, undefined=StrictUndefined, trim_blocks=True, autoescape=select_autoescape()
    )
