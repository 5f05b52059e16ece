"""What a three-rung stream of 8.6 Mb/s costs beside its encoder, and what FFmpeg's own HLS muxer costs.

The packager and the muxer get the same encoded pictures at the pace of a live stream: four playlists of
encrypted parts and segments from the one, three of encrypted Transport Stream segments from the other. The
last row is the whole process of such a stream on a host: it reads RTMP, feeds the encoder and writes its
status besides.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from tests.bench.conftest import Table
from tests.bench.live_packager import RUNGS
from tests.bench.test_density import look
from tests.support import player
from tests.support.encoder import Clip, Publisher
from tests.support.site import STREAMS, Site
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

SECONDS = 40.0
CLIP_SECONDS = 30
LADDER = "/etc/appliance/ladders/default.yml"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three rungs and the sound in one file, each with constant bitrate and a keyframe every 2 s."""
    path = tmp_path_factory.mktemp("clip") / "clip.mkv"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=1920x1080:r=30:d={CLIP_SECONDS}"]
    command += ["-f", "lavfi", "-i", f"sine=r=48000:d={CLIP_SECONDS}", "-map", "1:a", "-ac", "2"]
    command += ["-c:a", "aac", "-b:a", "128k", "-c:v", "libx264", "-preset", "ultrafast", "-g", "60"]
    command += ["-tune", "zerolatency", "-x264-params", "nal-hrd=cbr", "-pix_fmt", "yuv420p"]
    for number, (_, height, kbps) in enumerate(RUNGS):
        command += ["-map", "0:v", f"-filter:v:{number}", f"scale=-2:{height}"]
        for option in ("b", "minrate", "maxrate", "bufsize"):
            command += [f"-{option}:v:{number}", f"{kbps}k"]
    subprocess.run([*command, str(path)], check=True)
    return path


@contextlib.contextmanager
def running(command: list[str]) -> Iterator[psutil.Process]:
    """A process that is ended at the end of the block."""
    process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": os.getcwd()})  # noqa: PTH109
    try:
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        process.wait(timeout=20)


def measured(name: str, process: psutil.Process) -> list[str]:
    """A row: CPU over SECONDS, and the memory at its end."""
    before, since = process.cpu_times(), time.monotonic()
    time.sleep(SECONDS)
    after, took = process.cpu_times(), time.monotonic() - since
    cores = (after.user - before.user + after.system - before.system) / took
    return [name, f"{100 * cores:.1f}", f"{process.memory_info().rss / 1e6:.0f}"]


def muxer(clip: Path, folder: Path) -> list[str]:
    """FFmpeg's command for three encrypted HLS outputs."""
    (folder / "key").write_bytes(os.urandom(16))
    (folder / "key-info").write_text(f"key\n{folder / 'key'}\n")
    command = ["ffmpeg", "-v", "error", "-nostdin", "-re", "-stream_loop", "-1", "-i", str(clip)]
    for number, (name, _, _) in enumerate(RUNGS):
        (folder / name).mkdir()
        command += ["-map", f"0:v:{number}", "-map", "0:a", "-c", "copy", "-f", "hls", "-hls_time", "2"]
        command += ["-hls_list_size", "10", "-hls_flags", "delete_segments"]
        command += ["-hls_key_info_file", str(folder / "key-info"), str(folder / name / "index.m3u8")]
    return command


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a tmpfs, as a host's media root is one."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        yield Path(folder)


def test_three_rungs(host: Site, clip: Path, memory: Path, tmp_path: Path, tables: list[Table]) -> None:
    rows = []
    root, segments = memory / "root", memory / "hls"
    (root / "live").mkdir(parents=True)
    segments.mkdir()
    packager = [sys.executable, "-m", "tests.bench.live_packager", str(clip), str(root)]
    with running(packager) as process:
        until("a playlist", (root / "live" / "index.m3u8").exists, 30)
        rows.append(measured("our packager: parts, four playlists, AES-128", process))
    with running(muxer(clip, segments)) as process:
        until("playlists", lambda: len(list(segments.glob("*/index.m3u8"))) == len(RUNGS), 30)
        rows.append(measured("FFmpeg's HLS muxer: no parts, AES-128, demuxer included", process))
    rows.append(whole_process(host, clip, tmp_path))
    load = os.getloadavg()[0]
    title = f"beside the encoder of a three-rung stream of 8.6 Mb/s (load {load:.1f})"
    tables.append(Table(title, ["", "% of a core", "resident MB"], rows))


def whole_process(host: Site, clip: Path, folder: Path) -> list[str]:
    """The Python process of a stream on the host, whose ladder is cut to three rungs meanwhile."""
    source = folder / "source.flv"
    copied = ["-map", "0:v:0", "-map", "0:a", "-c", "copy"]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(clip), *copied, str(source)], check=True)
    host.run("cp", LADDER, f"{LADDER}.kept")
    host.run("sed", "-i", "/name: 480p/d", LADDER)
    try:
        with Publisher(host.rtmp(STREAMS[0]), Clip(source)):
            found = player.wait_for(host.hls(STREAMS[0]), segments=4, seconds=90)
            assert set(found.heights) == {height for _, height, _ in RUNGS}
            before, since = look(host), time.monotonic()
            time.sleep(SECONDS)
            after, took = look(host), time.monotonic() - since
            pid = host.run("systemctl", "show", "-P", "MainPID", f"stream@{STREAMS[0]}").stdout.strip()
            resident = int(host.run("ps", "-o", "rss=", "-p", pid).stdout)
    finally:
        host.run("mv", f"{LADDER}.kept", LADDER)
    seconds = after["cpu"]["stream appliance"] - before["cpu"]["stream appliance"]
    what = "the stream's whole process on a host: RTMP, feeding FFmpeg, packager, status"
    return [what, f"{100 * seconds / took:.1f}", f"{1024 * resident / 1e6:.0f}"]
