"""Ask a real nginx for one slow answer by many requests at once; print how long each waited.

Stands alone, so that a test can run it on a host with the nginx that is installed there:
``python3 coalescing.py NGINX WAITERS WORKERS``. The upstream answers after 100 ms. Prints JSON: ``upstream``,
the number of requests that came through; ``workers``, the number of workers that answered; ``milliseconds``,
one number for each request, sorted.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

UPSTREAM_SECONDS = 0.1
CONFIGURATION = """
worker_processes {workers};
pid nginx.pid;
error_log stderr;
user root;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    proxy_cache_path cache keys_zone=zone:1m use_temp_path=off;
    keepalive_requests 100000;
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        add_header X-Worker $pid;
        location / {{
            proxy_cache zone;
            proxy_cache_lock on;
            proxy_cache_valid 200 10s;
            proxy_pass http://unix:{folder}/upstream.sock;
        }}
    }}
}}
"""


class Upstream:
    """Counts what arrives, and answers late."""

    asked = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close."""
        await reader.readuntil(b"\r\n\r\n")
        self.asked += 1
        await asyncio.sleep(UPSTREAM_SECONDS)
        writer.write(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello")
        await writer.drain()
        writer.close()


class Viewer:
    """One connection; `headers` (lower case) and `body` are of the last answer, `at` its time (monotonic)."""

    def __init__(self, host: str, port: int) -> None:
        self._address = host, port
        self.headers: dict[str, str] = {}
        self.body = b""
        self.at = 0.0

    async def connect(self, path: str) -> None:
        """Connect, and be accepted: a worker answers a first request."""
        self._reader, self._writer = await asyncio.open_connection(*self._address)
        await self.fetch(path)

    async def fetch(self, path: str) -> float:
        """Ask for a path and return the milliseconds until the whole answer was there."""
        started = time.perf_counter()
        self._writer.write(f"GET {path} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        status, *lines = (await self._reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        fields = (line.partition(":") for line in lines if line)
        self.headers = {name.lower(): value.strip() for name, _, value in fields}
        self.body = await self._reader.readexactly(int(self.headers["content-length"]))
        assert " 200 " in status, f"{path}: {status}"
        self.at = time.monotonic()
        return round(1000 * (time.perf_counter() - started), 1)

    def close(self) -> None:
        """Hang up."""
        self._writer.close()


async def measure(folder: Path, port: int, waiters: int) -> dict[str, object]:
    """Send all requests at once, each over a connection of its own."""
    upstream = Upstream()
    async with await asyncio.start_unix_server(upstream.answer, str(folder / "upstream.sock")):
        viewers = [Viewer("127.0.0.1", port) for _ in range(waiters)]
        for viewer in viewers:
            await viewer.connect("/first")
        upstream.asked = 0
        milliseconds = sorted(await asyncio.gather(*(viewer.fetch("/second") for viewer in viewers)))
        for viewer in viewers:
            viewer.close()
    workers = {viewer.headers["x-worker"] for viewer in viewers}
    return {"upstream": upstream.asked, "workers": len(workers), "milliseconds": milliseconds}


def wait_for(server: subprocess.Popen[bytes], port: int) -> None:
    """Wait until nginx listens."""
    while server.poll() is None:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port)):
            return
        time.sleep(0.01)
    raise SystemExit("nginx did not start")


def main(nginx: str, waiters: int, workers: int) -> None:
    """Run nginx for one measurement."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        configuration = folder / "nginx.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder, port=port, workers=workers))
        # A daemon's first process ends before the daemon has told its number.
        command = [*shlex.split(nginx), "-p", name, "-c", str(configuration), "-g", "daemon off;"]
        with subprocess.Popen(command) as server:
            try:
                wait_for(server, port)
                print(json.dumps(asyncio.run(measure(folder, port, waiters))))
            finally:
                server.terminate()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
