"""What the delivery's nginx gives to many viewers, against the same nginx with nothing but files.

Goals, in requests a second: 0.95 of it for segments, which is a ratio of 1.05 in time, and half of it for
playlists that are waited for, which is 2. The nginx is the one that was built. It runs on this machine, out
of the package and with the libraries of the lab's image, as Debian 12 has older ones: it needs no host.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import subprocess
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from tests.bench.conftest import Comparison
from tests.support.listening import free_port, running
from tests.support.rendering import delivery_conf
from tests.support.site import TOP, provisioned
from tests.support.traffic import traffic_reader

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


REQUESTS = 10_000
SECONDS = 1
VIEWERS = 100
PLAYLIST = b"#EXTM3U\n" + b'#EXT-X-PART:DURATION=0.240000,URI="17.0.m4s"\n' * 80
SEGMENT = bytes(500_000)
"""Two seconds at 2 Mb/s."""
RUN = "demo/abc123/720p"
HELD_SECONDS = 0.02
"""How long the packager holds the first request for a part. The rest of a part's time all come late."""

BARE = """
user root;
worker_processes 1;
pid bare.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
    include {mime_types};
    access_log off;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 1000000;
    server {{
        listen 127.0.0.1:{port};
        location /hls/ {{ alias {media}/; }}
    }}
}}
"""

# A new part every 2,000 requests: with 30,000 requests a second, for 15 parts a second.
NEXT_PARTS = """
local n = 0
request = function()
    n = n + 1
    local part = math.floor(n / 2000)
    return wrk.format(nil, wrk.path .. "?_HLS_msn=" .. math.floor(part / 8) .. "&_HLS_part=" .. part % 8)
end
"""


@dataclass(frozen=True)
class Servers:
    """Where both listen, and where the script for wrk lies."""

    ours: int
    bare: int
    script: Path

    def seconds(self, port: int, path: str, *, script: bool = False) -> float:
        """Return the seconds for REQUESTS requests of VIEWERS connections."""
        options = ["-t1", f"-c{VIEWERS}", f"-d{SECONDS}"] + (["-s", str(self.script)] if script else [])
        command = ["wrk", *options, f"http://127.0.0.1:{port}/hls/{path}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        assert "Non-2xx" not in done, done
        assert "Socket errors" not in done, done
        found = re.search(r"Requests/sec:\s*([0-9.]+)", done)
        assert found is not None, done
        return REQUESTS / float(found[1])

    def compare(self, what: str, path: str, *, script: bool = False) -> float:
        """Measure both in turn."""
        return Comparison(
            what,
            lambda: self.seconds(self.ours, path, script=script),
            "nginx with files alone",
            lambda: self.seconds(self.bare, path, script=script),
        ).measure()


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked package of nginx; a host is brought up to build it when there is none."""
    cache = TOP / ".cache" / "packages"
    if not list(cache.glob("*/appliance-nginx_*.deb")):
        with provisioned():
            pass
    newest = max(cache.glob("*/appliance-nginx_*.deb"), key=lambda path: path.stat().st_mtime)
    folder = tmp_path_factory.mktemp("package")
    subprocess.run(["dpkg-deb", "--extract", newest, folder], check=True)
    return folder


@pytest.fixture(scope="module")
def nginx(package: Path) -> list[str]:
    """The command that runs it."""
    for root in (TOP / ".cache" / "lab").glob("*/root"):
        loaders = [*root.glob("usr/lib64/ld-linux-*.so.*"), *root.glob("usr/lib/ld-linux-*.so.*")]
        libraries = ":".join(str(path) for path in root.glob("usr/lib/*-linux-gnu"))
        return [str(loaders[0]), "--library-path", libraries, str(package / "usr/sbin/nginx")]
    pytest.fail("the lab has no image; make demo makes it")


async def _hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    await asyncio.sleep(HELD_SECONDS)
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.apple.mpegurl\r\nContent-Length: {}\r\n\r\n"
    writer.write(head.format(len(PLAYLIST)).encode() + PLAYLIST)
    await writer.drain()
    writer.close()


@contextlib.contextmanager
def packager(path: Path) -> Iterator[None]:
    """Answer every request with the playlist, after HELD_SECONDS."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    path.parent.mkdir(parents=True)
    serving = asyncio.run_coroutine_threadsafe(asyncio.start_unix_server(_hold, path), loop).result()
    try:
        yield
    finally:
        loop.call_soon_threadsafe(serving.close)
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


@pytest.fixture
def servers(nginx: list[str], package: Path, tmp_path: Path) -> Iterator[Servers]:
    """Both nginx with a worker each, over the same files."""
    media = tmp_path / "hls"
    run = media / RUN
    run.mkdir(parents=True)
    (run / "index.m3u8").write_bytes(PLAYLIST)
    (run / "17.m4s").write_bytes(SEGMENT)
    mime_types = str(package / "etc/nginx/mime.types")
    ours, bare = free_port(), free_port()
    text = delivery_conf(ours, media, tmp_path / "run", _delivery_traffic_socket=str(tmp_path / "traffic"))
    (tmp_path / "ours.conf").write_text(text.replace("/etc/nginx/mime.types", mime_types))
    (tmp_path / "bare.conf").write_text(BARE.format(port=bare, media=media, mime_types=mime_types))
    script = tmp_path / "parts.lua"
    script.write_text(NEXT_PARTS)
    with (
        packager(tmp_path / "run" / "demo" / "playlist.sock"),
        traffic_reader(tmp_path / "traffic"),
        running([*nginx, "-p", tmp_path, "-c", tmp_path / "ours.conf"], ours),
        running([*nginx, "-p", tmp_path, "-c", tmp_path / "bare.conf"], bare),
    ):
        yield Servers(ours, bare, script)


def test_segments(servers: Servers) -> None:
    ratio = servers.compare(f"{REQUESTS:,} segments of {len(SEGMENT) // 1000} kB", f"{RUN}/17.m4s")
    assert ratio < 1.3  # with room for the noise of a machine with two cores


def test_playlists(servers: Servers) -> None:
    ratio = servers.compare(f"{REQUESTS:,} playlists that are there", f"{RUN}/index.m3u8")
    assert ratio < 3


def test_playlists_that_are_waited_for(servers: Servers) -> None:
    ratio = servers.compare(f"{REQUESTS:,} playlists that are held", f"{RUN}/index.m3u8", script=True)
    assert ratio < 2
