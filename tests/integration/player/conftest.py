"""The player page as delivery serves it, a real stream behind it, and a browser."""

from __future__ import annotations

import base64
import json
import shutil
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.provision.player import player_files
from appliance.secrets.content_keys import UnknownKeyError
from appliance.secrets.keyring import Keyring
from tests.support.driven import Browser, browsing
from tests.support.listening import free_port, running
from tests.support.live_stream import MASTER, LiveStream, live_stream, make_clip
from tests.support.rendering import delivery_conf

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP = Path(__file__).resolve().parents[3]


def token(name: str, seconds: float = 3600) -> str:
    """Return what looks like a view token that holds for so long, for the stub to know by its name."""

    def part(value: dict[str, Any]) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = {"stream": "demo", "exp": int(time.time() + seconds)}
    return f"{part({'alg': 'HS256', 'kid': '1'})}.{part(claims)}.{name}"


class _Request(BaseHTTPRequestHandler):
    """What delivery asks of the control service: keys, and who may watch."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        control = cast("Control", self.server)
        body = b""
        if self.path == "/auth/view":
            stream = self.headers["X-Stream"]
            shown = (self.headers["X-View-Token"] or "").rpartition(".")[2]
            status = control.verdicts.get(shown, 401 if stream == "closed" else 204)
        else:
            status, body = self._key(*self.path.split("/")[2:])
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _key(self, stream: str, kid: str) -> tuple[int, bytes]:
        try:
            return 200, Keyring.create(MASTER).derive(kid, stream)
        except UnknownKeyError:
            return 404, b""

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class Control(ThreadingHTTPServer):
    """Stands in for the control service: lets everybody watch, but who shows a token with another verdict."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Request)
        self.verdicts: dict[str, int] = {}


@dataclass
class House:
    """Delivery with the page, and all that is behind it."""

    port: int
    control: Control
    stream: LiveStream
    root: Path
    log: list[str] = field(default_factory=list)

    @property
    def origin(self) -> str:
        """Return where it is."""
        return f"http://127.0.0.1:{self.port}"

    def watch(self, stream: str = "demo", token: str = "") -> str:
        """Return the address of the page."""
        return f"{self.origin}/watch/{stream}{f'#{token}' if token else ''}"


@pytest.fixture(scope="module")
def framing_port() -> int:
    """Where a page of another site is, which may show the player by one of its names."""
    return free_port()


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, framing_port: int) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("player")
    port, page, media = free_port(), folder / "page", folder / "hls"
    for path in (page, media):
        path.mkdir()
    for name, path in player_files(TOP / "files" / "player", TOP / ".cache" / "player", print).items():
        shutil.copyfile(path, page / name)
    with Control() as control:
        threading.Thread(target=control.serve_forever, args=(0.02,), daemon=True).start()
        text = delivery_conf(
            port,
            media,
            folder / "run",
            delivery_view_auth=True,
            delivery_auth_cache_seconds=1,
            delivery_access_log="all",
            delivery_player_frame_origins=[f"http://127.0.0.1:{framing_port}"],
            control_listen=f"127.0.0.1:{control.server_address[1]}",
            delivery_statistics=False,
            _delivery_player_root=str(page),
        )
        text = text.replace(
            "access_log syslog:server=unix:/dev/log,nohostname,tag=delivery",
            f"access_log {folder}/access.log",
        )
        configuration = folder / "delivery.conf"
        configuration.write_text(text)
        socket = folder / "run" / "demo" / "playlist.sock"
        with (
            running(["nginx", "-p", folder, "-c", configuration], port),
            live_stream(make_clip(folder / "clip.mp4"), media, socket) as stream,
        ):
            yield House(port, control, stream, folder)
        control.shutdown()


class _Page(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        pages = cast("OtherSite", self.server).pages
        path = self.path.partition("?")[0]
        self.send_response(200 if path in pages else 404)
        self.send_header("Content-Type", "text/javascript" if path.endswith(".js") else "text/html")
        self.end_headers()
        self.wfile.write(pages.get(path, "").encode())

    def log_message(self, *_: Any) -> None:
        """Stay quiet."""


class OtherSite(ThreadingHTTPServer):
    """Another site. By the name 127.0.0.1 it may show the player in a frame, by `localhost` it may not."""

    daemon_threads = True

    def __init__(self, port: int) -> None:
        super().__init__(("127.0.0.1", port), _Page)
        self.port = port
        self.pages: dict[str, str] = {"/favicon.ico": ""}


@pytest.fixture
def other_site(framing_port: int) -> Iterator[OtherSite]:
    with OtherSite(framing_port) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with browsing() as opened:
        yield opened
