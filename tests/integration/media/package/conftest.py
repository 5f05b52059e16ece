"""Real FFmpeg into the packager, and the files over HTTP with their keys."""

from __future__ import annotations

import os
import random
import selectors
import subprocess
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.package.options import PackagingOptions
from appliance.media.package.packager import Packager
from appliance.media.package.parts import fragment_seconds
from appliance.media.package.rendition import Rendition
from appliance.secrets.content_keys import UnknownKeyError
from appliance.secrets.keyring import Keyring
from appliance.settings import Settings
from tests.unit.media.package.published import Workbench

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PART_SECONDS = Settings().part_seconds

# As the session runs it.
MOVFLAGS = "+cmaf+empty_moov+default_base_moof+skip_trailer+delay_moov+frag_keyframe+frag_discont"
MUXER = ["-movflags", MOVFLAGS, "-frag_duration", f"{fragment_seconds(PART_SECONDS) * 1e6:.0f}", "-f", "mp4"]
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-sc_threshold", "0"]
FORCED = ["-force_key_frames", "expr:gte(t,n_forced*2)"]

HIGH, LOW, AUDIO = Rendition("180p", "video"), Rendition("90p", "video"), Rendition("audio", "audio")
ALL = (HIGH, LOW, AUDIO)


def flashes(seconds: float, rate: str = "25") -> list[str]:
    """FFmpeg's inputs: a white flash and a beep of 0.2 s at each even second."""
    gate = "lt(mod(t,2),0.2)"
    picture = f"color=black:s=320x180:r={rate}:d={seconds},drawbox=c=white:t=fill:enable='{gate}'"
    tone = f"aevalsrc='if({gate},sin(2*PI*1000*t),0)':s=48000:d={seconds}"
    return ["-f", "lavfi", "-i", picture, "-f", "lavfi", "-i", tone]


def ladder(renditions: Sequence[Rendition]) -> list[list[str]]:
    """FFmpeg's output options for each rendition, without the place it goes to."""
    known = {
        HIGH: ["-map", "0:v", *X264, *FORCED, *MUXER],
        LOW: ["-map", "0:v", "-vf", "scale=160:90", "-bf", "0", *X264, *FORCED, *MUXER],
        AUDIO: ["-map", "1:a", "-c:a", "aac", "-ac", "2", *MUXER],
    }
    return [known[item] for item in renditions]


@dataclass
class Broadcast:
    """One FFmpeg with a pipe for each rendition."""

    process: subprocess.Popen[bytes]
    pipes: dict[str, int]

    def into(self, packager: Packager, *, seed: int = 0, stop_after: int | None = None) -> None:
        """Feeds `packager` in pieces of random size until all pipes end, or `stop_after` bytes came."""
        chance = random.Random(seed)
        total = 0
        with selectors.DefaultSelector() as selector:
            for name, descriptor in self.pipes.items():
                selector.register(descriptor, selectors.EVENT_READ, name)
            while selector.get_map():
                for key, _ in selector.select():
                    data = os.read(key.fd, chance.randint(1, 20_000))
                    if data:
                        packager.feed(key.data, data)
                    else:
                        selector.unregister(key.fd)
                    total += len(data)
                if stop_after is not None and total >= stop_after:
                    self.process.kill()
                    stop_after = None


@contextmanager
def broadcast(
    inputs: list[str], renditions: Sequence[Rendition] = ALL, outputs: list[list[str]] | None = None
) -> Iterator[Broadcast]:
    """Starts FFmpeg on `inputs`; kills it at the end."""
    ends = [os.pipe() for _ in renditions]
    argv = ["ffmpeg", "-nostdin", "-hide_banner", "-v", "error", *inputs]
    for (_, write), output in zip(ends, outputs or ladder(renditions), strict=True):
        argv += [*output, f"pipe:{write}"]
    process = subprocess.Popen(argv, pass_fds=[write for _, write in ends], stdin=subprocess.DEVNULL)
    for _, write in ends:
        os.close(write)
    try:
        pairs = zip(renditions, ends, strict=True)
        yield Broadcast(process, {item.name: read for item, (read, _) in pairs})
    finally:
        process.kill()
        process.wait()
        for read, _ in ends:
            os.close(read)


class _Handler(BaseHTTPRequestHandler):
    """What delivery and control do between them: files below /hls, keys by derivation."""

    def __init__(self, bench: Workbench, *args: Any) -> None:
        self.bench = bench
        super().__init__(*args)

    def do_GET(self) -> None:
        parts = self.path.removeprefix("/hls/").split("/")
        body: bytes | None = None
        if parts == [f"{self.bench.stream}.m3u8"]:
            body = self._file(self.bench.directory / "index.m3u8")
        elif parts[:2] == [self.bench.stream, "keys"]:
            try:
                body = self.bench.keyring.derive(parts[2], self.bench.stream)
            except UnknownKeyError:
                body = None
        else:
            body = self._file(self.bench.root.joinpath(*parts))
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *args: object) -> None:
        """Quiet."""

    @staticmethod
    def _file(path: Path) -> bytes | None:
        return path.read_bytes() if path.is_file() else None


@contextmanager
def served(bench: Workbench) -> Iterator[str]:
    """The URL of the stream's multivariant playlist."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, bench))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/hls/{bench.stream}.m3u8"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
def bench(tmp_path: Path) -> Workbench:
    root = tmp_path / "hls"
    root.mkdir()
    options = PackagingOptions(2.0, 6, 4.0, "aes-128", PART_SECONDS)
    return Workbench(root, Keyring.create(b"m" * 32), options)
