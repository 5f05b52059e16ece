"""A private nginx with the RTMP module, publishers, and sources that flash and beep."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

import jinja2
import pytest
import yaml

from appliance.secrets.keyring import Keyring
from tests.integration.media.stage import Stage
from tests.support.listening import free_port

_TEMPLATE = Path(__file__).parents[3] / "roles" / "ingest" / "templates" / "ingest.conf.j2"
_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_MISSING = [name for name in ("nginx", "ffmpeg") if shutil.which(name) is None]
_MISSING += [] if _MODULE.exists() else [str(_MODULE)]


@dataclass
class Ingest:
    """nginx on a port of its own."""

    port: int
    directory: Path
    process: asyncio.subprocess.Process | None = None
    publishers: list[asyncio.subprocess.Process] = field(default_factory=list)

    @property
    def url(self) -> str:
        return f"rtmp://127.0.0.1:{self.port}/live"

    async def start(self) -> None:
        # A socket's file outlives a killed nginx; systemd empties the unit's runtime directory.
        (self.directory / "control.sock").unlink(missing_ok=True)
        with (self.directory / "nginx.err").open("ab") as errors:
            self.process = await asyncio.create_subprocess_exec(
                *("nginx", "-p", str(self.directory), "-c", str(self.directory / "nginx.conf")),
                *("-g", f"load_module {_MODULE}; daemon off; master_process off;"),
                stderr=errors,
            )
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            assert self.process.returncode is None, (self.directory / "nginx.err").read_text()
            await asyncio.sleep(0.02)

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def publish(self, stream: str, *arguments: str) -> asyncio.subprocess.Process:
        """Starts an FFmpeg that publishes `stream` with the given input and codec arguments."""
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", *arguments]
        with (self.directory / "publish.err").open("ab") as errors:
            publisher = await asyncio.create_subprocess_exec(
                *command, "-f", "flv", f"{self.url}/{stream}", stdin=asyncio.subprocess.DEVNULL, stderr=errors
            )
        self.publishers.append(publisher)
        return publisher


async def _control(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Stands for the control service: lets everybody in but who asks for the stream `forbidden`."""
    # A test ends with nginx, and with what it was about to ask.
    with contextlib.suppress(OSError, EOFError), contextlib.closing(writer):
        head = await reader.readuntil(b"\r\n\r\n")
        match = re.search(rb"(?i)content-length: (\d+)", head)
        body = await reader.readexactly(int(match[1])) if match else b""
        status = b"403 Forbidden" if b"name=forbidden&" in body else b"200 OK"
        writer.write(b"HTTP/1.0 " + status + b"\r\n\r\n")
        await writer.drain()


def _ingest_conf(directory: Path, rtmp_port: int, stat_port: int, control_port: int) -> str:
    """The role's own configuration, but that pings follow each other sooner."""
    defaults = yaml.safe_load((_TEMPLATE.parents[1] / "defaults" / "main.yml").read_text(encoding="utf-8"))
    values = {
        **defaults,
        "ingest_rtmp_port": rtmp_port,
        "ingest_stat_port": stat_port,
        "ingest_ipv6": False,
        "_ingest_players": "127.0.0.1",
        "_ingest_control_socket": str(directory / "control.sock"),
        "_ingest_control_url": f"http://127.0.0.1:{control_port}",
    }
    environment = jinja2.Environment(undefined=jinja2.StrictUndefined, autoescape=False)  # noqa: S701 - no HTML
    text = environment.from_string(_TEMPLATE.read_text(encoding="utf-8")).render(values)
    for written, quicker in (("ping 15s;", "ping 2s;"), ("ping_timeout 10s;", "ping_timeout 1s;")):
        assert written in text
        text = text.replace(written, quicker)
    return text


@pytest.fixture
async def ingest(tmp_path: Path) -> AsyncIterator[Ingest]:
    assert not _MISSING, f"{_MISSING} not found: apt-get install nginx libnginx-mod-rtmp ffmpeg"
    directory = tmp_path / "nginx"
    (directory / "logs").mkdir(parents=True)
    control = await asyncio.start_server(_control, "127.0.0.1")
    rtmp_port, stat_port = free_port(), free_port()
    config = _ingest_conf(directory, rtmp_port, stat_port, control.sockets[0].getsockname()[1])
    (directory / "nginx.conf").write_text(config, encoding="utf-8")
    server = Ingest(rtmp_port, directory)
    await server.start()
    try:
        yield server
    finally:
        for publisher in server.publishers:
            await end(publisher)
        await server.kill()
        control.close()


async def end(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()


Encode = Callable[..., Awaitable[Path]]


@pytest.fixture(scope="session")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of sources that `clip` fills on demand."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture
def clip(clips: Path) -> Encode:
    """Returns a function that encodes a source: white flashes and beeps in each even-numbered tenth second.

    Every second, at the whole second, picture and sound are on for 0.1 s.
    """

    async def encode(
        *, size: str = "320x180", fps: str = "30", seconds: int = 12, gop_s: float = 2, channels: int = 2,
        video: bool = True, audio: bool = True, bframes: int = 0, late_audio: float = 0,
    ) -> Path:  # fmt: skip
        name = f"{size}-{fps}-{seconds}-{gop_s}-{channels}-{video}-{audio}-{bframes}-{late_audio}"
        path = clips / f"{name.replace('/', '_')}.flv"
        if path.exists():
            return path
        command = ["ffmpeg", "-hide_banner", "-nostdin", "-loglevel", "error", "-y"]
        if video:
            flash = "drawbox=t=fill:color=white:enable='lt(mod(t+0.0005,1),0.1)'"
            command += ["-f", "lavfi", "-i", f"color=black:size={size}:rate={fps},{flash}"]
        if audio:
            beep = "if(lt(mod(t,1),0.1),0.5*sin(2*PI*1000*t),0)"
            expressions = "|".join([beep] * channels)
            command += ["-f", "lavfi", "-i", f"aevalsrc='{expressions}':sample_rate=48000"]
        command += ["-t", str(seconds)]
        if video:
            keyframes = f"expr:gte(t,n_forced*{gop_s})"
            command += ["-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", str(bframes)]
            command += ["-g", "9999", "-sc_threshold", "0", "-force_key_frames", keyframes]
        if audio:
            command += ["-c:a", "aac", "-b:a", "128k"]
            if late_audio:
                command += ["-af", f"aselect='gte(t,{late_audio})'"]
        process = await asyncio.create_subprocess_exec(*command, str(path))
        assert await process.wait() == 0
        return path

    return encode


@pytest.fixture
def stage(ingest: Ingest, tmp_path: Path) -> Stage:
    """A place for the stream `demo`, which is published to `ingest`."""
    root = tmp_path / "hls"
    root.mkdir()
    return Stage(ingest, root, Keyring.create())
