"""The HTTP nginx, asked for real: which names it serves, with which headers, and what it logs."""

from __future__ import annotations

import gzip
import http.client
import json
import os
import select
import signal
import socket
import subprocess
import threading
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from .conftest import Render

KEY = b"0123456789abcdef"
KID = "1-" + "0f" * 16
RUN = "/hls/demo/abc123/v720"
PLAYLIST = "#EXTM3U\n" + "#EXTINF:2.0,\n17.m4s\n" * 40


class Control(BaseHTTPRequestHandler):
    """Stands in for the control service: sixteen bytes for everything, the path it was asked in a header."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(KEY)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("X-Asked", self.path)
        self.end_headers()
        self.wfile.write(KEY)

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


@dataclass
class Delivery:
    """A running delivery nginx: where it listens, where its media lies, where its access log arrives."""

    port: int
    media: Path
    log: socket.socket

    def ask(self, path: str, method: str = "GET", **headers: str) -> tuple[http.client.HTTPResponse, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
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
def delivery(
    render: Render, nginx: str, tmp_path: Path, free_port: int, settings: dict[str, Any]
) -> Iterator[Delivery]:
    media = tmp_path / "hls"
    run = media / "demo" / "abc123" / "v720"
    run.mkdir(parents=True)
    (media / "demo" / "index.m3u8").write_text(PLAYLIST)
    (media / "demo" / "state.json").write_text("{}")
    (run / "index.m3u8").write_text(PLAYLIST)
    (run / ".index.m3u8.new").write_text(PLAYLIST)
    (run / "17.m4s").write_bytes(bytes(100_000))
    (run / "init-0.mp4").write_bytes(bytes(800))
    (run / "18.m4s").symlink_to("/etc/hostname")

    control = ThreadingHTTPServer(("127.0.0.1", 0), Control)
    threading.Thread(target=control.serve_forever, args=(0.02,), daemon=True).start()
    log = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    log.bind(str(tmp_path / "log"))
    log.settimeout(5)
    variables = {
        "delivery_http_port": free_port,
        "delivery_tls": False,  # the `http2` directive is younger than the nginx of Debian 12
        "delivery_ipv6": False,
        "delivery_worker_processes": "1",
        "delivery_worker_connections": 64,
        "origin_media_root": str(media),
        "control_listen": f"127.0.0.1:{control.server_address[1]}",
    }
    text = render("delivery", "delivery.conf.j2", **(variables | settings))
    text = text.replace("/dev/log", str(tmp_path / "log"))
    configuration = tmp_path / "delivery.conf"
    # As root nginx would drop to `nobody`, who cannot enter pytest's folders.
    configuration.write_text("user root;\n" + text)
    command = [nginx, "-p", str(tmp_path), "-c", str(configuration)]
    # It ends when the sockets are open, and the daemon goes on.
    with (tmp_path / "stderr").open("w") as stderr:
        started = subprocess.run(command, check=False, stderr=stderr)
    assert started.returncode == 0, (tmp_path / "stderr").read_text()
    daemon = os.pidfd_open(int((tmp_path / "nginx.pid").read_text()))
    try:
        yield Delivery(free_port, media, log)
    finally:
        signal.pidfd_send_signal(daemon, signal.SIGTERM)
        select.select([daemon], [], [], 10)
        os.close(daemon)
        control.shutdown()
        control.server_close()
        log.close()


@pytest.mark.parametrize(
    ("path", "kind", "cache"),
    [
        ("/hls/demo.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
        (f"{RUN}/index.m3u8", "application/vnd.apple.mpegurl", "no-cache"),
        (f"{RUN}/17.m4s", "video/iso.segment", "public, max-age=31536000, immutable"),
        (f"{RUN}/init-0.mp4", "video/mp4", "public, max-age=31536000, immutable"),
        (f"/hls/demo/keys/{KID}", None, "no-store"),
        ("/health", None, "no-store"),
    ],
)
def test_what_is_served(delivery: Delivery, path: str, kind: str | None, cache: str) -> None:
    answer, _ = delivery.ask(path)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == cache
    assert kind is None or answer.headers["Content-Type"] == kind
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Server"] == "nginx"


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/hls/demo/state.json", 404),
        ("/hls/demo/index.m3u8", 404),
        (f"{RUN}/.index.m3u8.new", 404),
        (f"{RUN}/99.m4s", 404),
        (f"{RUN}/18.m4s", 403),  # a symbolic link: whoever can write media must not reach other files
        ("/hls/demo/..%2f..%2fetc/passwd", 404),
        ("/hls/demo/keys/1-short", 404),
        ("/hls/-demo.m3u8", 404),
        (f"/hls/{'a' * 65}.m3u8", 404),
        ("/", 404),
    ],
)
def test_what_is_not_served(delivery: Delivery, path: str, status: int) -> None:
    answer, _ = delivery.ask(path)
    assert answer.status == status
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_keys_come_from_control(delivery: Delivery) -> None:
    answer, body = delivery.ask(f"/hls/demo/keys/{KID}")
    assert body == KEY
    assert answer.headers["X-Asked"] == f"/keys/demo/{KID}"
    assert answer.headers.get_all("Cache-Control") == ["no-store"]


def test_a_playlist_is_never_answered_from_its_age(delivery: Delivery) -> None:
    answer, _ = delivery.ask(f"{RUN}/index.m3u8")
    assert answer.headers["ETag"] is None
    again, body = delivery.ask(f"{RUN}/index.m3u8", If_Modified_Since=answer.headers["Last-Modified"])
    assert again.status == 200
    assert body == PLAYLIST.encode()


def test_playlists_travel_compressed_and_segments_do_not(delivery: Delivery) -> None:
    answer, body = delivery.ask(f"{RUN}/index.m3u8", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == PLAYLIST.encode()
    answer, _ = delivery.ask(f"{RUN}/17.m4s", Accept_Encoding="gzip")
    assert answer.headers["Content-Encoding"] is None


def test_a_preflight_request_is_answered_without_the_file(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/hls/none.m3u8", "OPTIONS", Origin="https://player.example")
    assert answer.status == 204
    assert answer.headers["Access-Control-Allow-Methods"] == "GET, HEAD, OPTIONS"
    assert delivery.ask("/hls/demo.m3u8", "POST")[0].status == 405


@pytest.mark.parametrize("settings", [{"delivery_cors_origins": ["https://player.example"]}])
def test_only_named_origins_may_play(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/hls/demo.m3u8", Origin="https://player.example")
    assert answer.headers["Access-Control-Allow-Origin"] == "https://player.example"
    assert "Origin" in answer.headers.get_all("Vary", [])
    answer, _ = delivery.ask("/hls/demo.m3u8", Origin="https://other.example")
    assert answer.headers["Access-Control-Allow-Origin"] is None


@pytest.mark.parametrize("settings", [{"delivery_operator_networks": ["192.0.2.0/24"]}])
@pytest.mark.parametrize("path", ["/stat", "/streams/active", "/streams/stats"])
def test_others_than_operators_see_no_statistics(delivery: Delivery, path: str) -> None:
    assert delivery.ask(path)[0].status == 403


def test_operators_see_statistics(delivery: Delivery) -> None:
    answer, _ = delivery.ask("/streams/active")
    assert (answer.status, answer.headers["X-Asked"]) == (200, "/streams/active")


def test_the_access_log_names_the_stream_and_no_secret(delivery: Delivery) -> None:
    referrer = "https://site.example/watch?token=SECRET"
    delivery.ask(f"{RUN}/17.m4s?token=SECRET", Referer=referrer, User_Agent='a "b"')
    entry = delivery.logged()
    assert "SECRET" not in json.dumps(entry)
    assert entry["stream"] == "demo"
    assert (entry["status"], entry["bytes"], entry["method"]) == (200, 100_000, "GET")
    assert (entry["uri"], entry["referrer"]) == (f"{RUN}/17.m4s", "https://site.example/watch")
    assert entry["user_agent"] == 'a "b"'
    assert set(entry) >= {"time", "remote_addr", "request_time", "cache"}
