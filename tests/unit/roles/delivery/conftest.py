"""The nginx of the delivery role with its own configuration, and what stands behind it."""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import subprocess
import threading
import time
from collections import defaultdict
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import ThreadingUnixStreamServer
from typing import TYPE_CHECKING, Any, cast

import pytest

from tests.support.rendering import delivery_conf

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


KEY = b"0123456789abcdef"
KID = "1-" + "0f" * 16
SESSION = "5e55" * 4
RUN = "/hls/demo/abc123/v720"
PLAYLIST = "#EXTM3U\n" + "#EXTINF:2.0,\n17.m4s\n" * 40


class _ControlRequest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        control = cast("Control", self.server)
        if self.path == "/auth/view":
            control.views.append(dict(self.headers.items()))
            self.send_response(control.verdicts.get(self.headers["X-View-Token"] or "", 401))
            self.send_header("Cache-Control", "no-store")
            self.send_header("X-Session", SESSION)
            self.send_header("WWW-Authenticate", "Bearer")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        control.asked.append(dict(self.headers.items()))
        self.send_response(200)
        self.send_header("Content-Length", str(len(KEY)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Asked", self.path)
        self.end_headers()
        self.wfile.write(KEY)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class Control(ThreadingHTTPServer):
    """Stands in for the control service: sixteen bytes for everything, the path it was asked in a header.

    About viewers it answers what `verdicts` has for their token, else 401.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _ControlRequest)
        self.verdicts: dict[str, int] = {}
        self.views: list[dict[str, str]] = []
        self.asked: list[dict[str, str]] = []


@dataclass
class Held:
    """What the packager answers once `ready` is set; nothing but the end of the connection with status 0."""

    status: int = 200
    body: bytes = b""
    ready: threading.Event = field(default_factory=threading.Event)


class _PackagerRequest(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        packager = cast("Packager", self.server)
        with packager.news:
            packager.asked.append(self.path)
            packager.news.notify_all()
        held = packager.answers[self.path.partition("?")[0]]
        held.ready.wait(60)
        if held.status == 0:
            return
        self.send_response(held.status)
        kind = "application/vnd.apple.mpegurl" if "m3u8" in self.path else "video/iso.segment"
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(held.body)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(held.body)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class Packager(ThreadingUnixStreamServer):
    """Stands in for the packager of one stream, whose answers the test decides upon by their path."""

    daemon_threads = True
    block_on_close = False
    request_queue_size = 128

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True)
        super().__init__(str(path), _PackagerRequest)
        self.asked: list[str] = []
        self.news = threading.Condition()
        self.answers: defaultdict[str, Held] = defaultdict(Held)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Stay quiet: a test ends with requests that are still held."""

    def answer(self, path: str, status: int = 200, body: bytes = b"") -> None:
        """Answer requests for `path`, present ones too."""
        held = self.answers[path]
        held.status, held.body = status, body
        held.ready.set()

    def wait(self, requests: int) -> None:
        """Wait until so many requests have come."""
        with self.news:
            assert self.news.wait_for(lambda: len(self.asked) >= requests, 30), self.asked


@dataclass
class Delivery:
    """A running delivery nginx: where it listens, where its media lies, where its access log arrives."""

    port: int
    media: Path
    log: socket.socket
    stderr: Path
    traffic: socket.socket

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            sent = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, headers=sent)
            answer = connection.getresponse()
            return answer, answer.read()
        finally:
            connection.close()

    def logged(self) -> dict[str, Any]:
        """Wait for the next line of the access log."""
        line = self.log.recv(65536).decode()
        return dict(json.loads(line[line.index("{") :]))


@pytest.fixture
def settings() -> dict[str, Any]:
    """Variables of the role that a test overrides by parametrizing."""
    return {}


@pytest.fixture
def packager(tmp_path: Path) -> Iterator[Packager]:
    """The packager of the stream `demo`."""
    with Packager(tmp_path / "run" / "demo" / "playlist.sock") as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def control() -> Iterator[Control]:
    """The control service."""
    with Control() as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def delivery(
    *, nginx: str, tmp_path: Path, free_port: int, settings: dict[str, Any], control: Control
) -> Iterator[Delivery]:
    media = tmp_path / "hls"
    run = media / "demo" / "abc123" / "v720"
    run.mkdir(parents=True)
    (media / "demo" / "index.m3u8").write_text(PLAYLIST)
    (media / "demo" / "state.json").write_text("{}")
    (media / "demo" / "thumbnail.jpg").write_bytes(bytes(900))
    (run / "index.m3u8").write_text(PLAYLIST)
    (run / ".index.m3u8.new").write_text(PLAYLIST)
    (run / "17.m4s").write_bytes(bytes(100_000))
    (run / "17.ts").write_bytes(bytes(100_000))
    (run / "17.2.m4s").write_bytes(bytes(10_000))
    (run / "init-0.mp4").write_bytes(bytes(800))
    (run / "18.m4s").symlink_to("/etc/hostname")

    log, traffic = _lines(tmp_path / "log"), _lines(tmp_path / "traffic")
    variables = {
        "control_listen": f"127.0.0.1:{control.server_address[1]}",
        "_delivery_traffic_socket": str(tmp_path / "traffic"),
    }
    text = delivery_conf(free_port, media, tmp_path / "run", **(variables | settings))
    text = text.replace("/dev/log", str(tmp_path / "log"))
    configuration = tmp_path / "delivery.conf"
    configuration.write_text(text)
    # A daemon's first process ends before the daemon has told its number.
    command = [nginx, "-p", str(tmp_path), "-c", str(configuration), "-g", "daemon off;"]
    with (tmp_path / "stderr").open("w") as stderr, subprocess.Popen(command, stderr=stderr) as server:
        try:
            while True:
                assert server.poll() is None, (tmp_path / "stderr").read_text()
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", free_port)):
                    break
                time.sleep(0.01)
            yield Delivery(free_port, media, log, tmp_path / "stderr", traffic)
        finally:
            server.terminate()
            server.wait(10)
            log.close()
            traffic.close()


def _lines(path: Path) -> socket.socket:
    """Listen for datagrams at `path`."""
    found = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    found.bind(str(path))
    found.settimeout(30)
    return found
