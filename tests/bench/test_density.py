"""What one more stream costs a host, when its source is copied as the only rung.

Each stream's pictures pass through; its sound is encoded, a thumbnail made every ten seconds, everything cut
into parts and encrypted. One viewer for each stream waits for its segments and fetches them. Beside it, what
has no parts: nginx-rtmp's own HLS, unencrypted, and an FFmpeg for each stream that writes encrypted MPEG-TS.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import time
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psutil
import pytest

from tests.bench.conftest import Table
from tests.support import player
from tests.support.coalescing import Viewer
from tests.support.encoder import Clip, Publisher
from tests.support.listening import free_port, running
from tests.support.playlists import parse_media
from tests.support.site import STREAMS, Site
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Iterator

COUNTS = (1, 5, 10, 20)
COMPARED = 10
SECONDS = 30.0
LATE_SECONDS = 0.5
"""A segment that comes so much later than the earliest of its stream did, by their durations, is late."""
CLIP_SECONDS = 60

# Runs on the host: CPU seconds by unit and program, and memory of the streams' units, in bytes.
_LOOK = """
import collections, contextlib, glob, json, os
tick = os.sysconf("SC_CLK_TCK")
cpu = collections.Counter()
memory = collections.Counter()
for path in glob.glob("/proc/[0-9]*"):
    try:
        unit = open(path + "/cgroup").read().strip().rpartition("/")[2]
        name, _, rest = open(path + "/stat").read().partition("(")[2].rpartition(")")
    except OSError:
        continue
    fields = rest.split()
    cpu[unit.partition("@")[0].partition(".")[0] + " " + name] += (int(fields[11]) + int(fields[12])) / tick
    # PSS shares out what several processes have mapped (proc_pid_smaps(5)): one program runs for each stream.
    if unit.startswith("stream@"):
        with open(path + "/smaps_rollup") as rollup:
            pss = next(line for line in rollup if line.startswith("Pss:"))
        memory["processes"] += 1024 * int(pss.split()[1])
for folder, _, names in os.walk("/srv/hls"):
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            memory["media"] += os.stat(os.path.join(folder, name)).st_size
print(json.dumps({"cpu": cpu, "memory": memory}))
"""

_ALTERNATIVES = """
load_module {module};
user root;
worker_processes 1;
pid {folder}/pid; error_log stderr error;
events {{ worker_connections 256; }}
rtmp {{ server {{
    listen 127.0.0.1:{port};
    application live {{ live on; }}
    application hls {{ live on; hls on; hls_path {folder}/hls; hls_fragment 2s; hls_nested on; }}
}} }}
"""
_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")


@dataclass
class Arrivals:
    """When a stream's segments came to its viewer."""

    late: list[float]
    """Seconds by which each was later than the earliest, by the durations between them."""


async def _watch(url: str, seconds: float) -> Arrivals:
    """Wait for each new segment of a media playlist, and fetch it."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    viewer = Viewer(address.hostname, address.port)
    await viewer.connect(address.path)
    wanted = parse_media(url, viewer.body.decode()).last + 1
    played, ahead = 0.0, []
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        await viewer.fetch(f"{address.path}?_HLS_msn={wanted}")
        at = viewer.at
        segment = next(s for s in parse_media(url, viewer.body.decode()).segments if s.number == wanted)
        await viewer.fetch(urlsplit(segment.url).path)
        played += segment.duration
        ahead.append(at - played)
        wanted += 1
    viewer.close()
    return Arrivals([each - min(ahead) for each in ahead])


async def _watch_all(urls: list[str], seconds: float) -> list[float]:
    arrivals = await asyncio.gather(*(_watch(url, seconds) for url in urls))
    return [late for each in arrivals for late in each.late]


def look(host: Site) -> dict[str, dict[str, float]]:
    """Look at the host once."""
    found: dict[str, dict[str, float]] = json.loads(host.run("python3", "-c", _LOOK).stdout)
    return found


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Clip:
    """A moving picture of 640x360 at 25 fps and 0.8 Mb/s with sound."""
    path = tmp_path_factory.mktemp("clip") / "clip.flv"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", f"testsrc2=s=640x360:r=25:d={CLIP_SECONDS}"]
    command += [
        "-f",
        "lavfi",
        "-i",
        f"sine=r=48000:d={CLIP_SECONDS}",
        "-ac",
        "2",
        "-c:a",
        "aac",
        "-b:a",
        "96k",
    ]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "50", "-b:v", "800k"]
    subprocess.run(
        [*command, "-maxrate", "800k", "-bufsize", "800k", "-pix_fmt", "yuv420p", str(path)], check=True
    )
    return Clip(path)


def row(count: int, used: dict[str, float], memory: dict[str, float], late: list[float]) -> list[str]:
    """Return a row of the table. `used` are CPU seconds by who used them, over SECONDS."""
    share = {name: 100 * seconds / SECONDS for name, seconds in used.items()}
    named = {
        "ffmpeg": share.pop("stream ffmpeg", 0.0),
        "packager": sum(share.pop(name) for name in list(share) if name.startswith("stream ")),
        "ingest": sum(share.pop(name) for name in list(share) if name.startswith("appliance-ingest")),
        "delivery": sum(share.pop(name) for name in list(share) if name.startswith("appliance-delivery")),
        "control": sum(share.pop(name) for name in list(share) if name.startswith(("appliance-", "valkey"))),
    }
    total = sum(named.values())
    return [
        f"{count} streams",
        *(f"{each / count:.1f}" for each in named.values()),
        f"{total / 100:.2f}",
        f"{100 * count / total:.0f}",
        f"{memory['processes'] / count / 1e6:.0f}",
        f"{memory['media'] / count / 1e6:.1f}",
        f"{sum(each > LATE_SECONDS for each in late)} of {len(late)}",
        f"{max(late):.2f}",
    ]


def test_streams_side_by_side(host: Site, clip: Clip, tables: list[Table]) -> None:
    table = Table(
        "pass-through streams (360p, source copied, one rung), CPU in % of a core for each stream",
        ["", "FFmpeg", "packager", "ingest", "delivery", "control", "cores in all", "streams a core",
         "MB each", "media MB each", "late", "latest s"],
    )  # fmt: skip
    with ExitStack() as publishers:
        begun: list[str] = []
        for count in COUNTS:
            for stream in STREAMS[len(begun) : count]:
                publishers.enter_context(Publisher(host.rtmp(stream), clip))
                begun.append(stream)
            found = [player.wait_for(host.hls(stream), segments=4, seconds=90) for stream in begun]
            assert all(len(each.heights) == 1 for each in found)
            urls = [each.heights[360].url for each in found]
            before, since = look(host), time.monotonic()
            late = asyncio.run(_watch_all(urls, SECONDS))
            after, took = look(host), time.monotonic() - since
            used = {
                name: (seconds - before["cpu"].get(name, 0.0)) * SECONDS / took
                for name, seconds in after["cpu"].items()
                if name.startswith(("stream ", "appliance-", "valkey"))
            }
            table.rows.append(row(count, used, after["memory"], late))
            table.rows[-1][0] += f", load {os.getloadavg()[0]:.1f}"
    tables.append(table)


@contextmanager
def _alternatives(folder: Path) -> Iterator[int]:
    """Run an nginx with both of its applications; give its port."""
    if not _MODULE.exists():
        pytest.skip("no nginx with the RTMP module: apt-get install libnginx-mod-rtmp")
    port = free_port()
    (folder / "logs").mkdir()
    config = folder / "nginx.conf"
    config.write_text(_ALTERNATIVES.format(module=_MODULE, folder=folder, port=port), encoding="utf-8")
    with running(["nginx", "-p", folder, "-c", config], port):
        yield port


def _cost(processes: list[psutil.Process]) -> dict[str, Any]:
    times = [process.cpu_times() for process in processes]
    return {
        "cpu": sum(each.user + each.system for each in times),
        "rss": sum(process.memory_info().rss for process in processes),
    }


def _nginx(folder: Path) -> list[psutil.Process]:
    first = psutil.Process(int((folder / "pid").read_text()))
    return [first, *first.children()]


def _measured(name: str, processes: list[psutil.Process]) -> list[str]:
    before, since = _cost(processes), time.monotonic()
    time.sleep(SECONDS)
    after, took = _cost(processes), time.monotonic() - since
    cores = (after["cpu"] - before["cpu"]) / took
    return [
        name,
        f"{100 * cores / COMPARED:.1f}",
        f"{COMPARED / cores:.0f}",
        f"{after['rss'] / COMPARED / 1e6:.0f}",
    ]


def test_the_same_without_parts(clip: Clip, tmp_path: Path, tables: list[Table]) -> None:
    """For comparison, with no viewer: the sound is copied too, and there are no thumbnails."""
    table = Table(
        f"{COMPARED} of these streams in other ways, without parts",
        ["", "% of a core each", "streams a core", "MB each"],
    )
    names = [f"s{number}" for number in range(COMPARED)]
    (tmp_path / "key").write_bytes(os.urandom(16))
    (tmp_path / "key-info").write_text(f"key\n{tmp_path / 'key'}\n")
    with _alternatives(tmp_path) as port, ExitStack() as stack:
        base = f"rtmp://127.0.0.1:{port}"
        with ExitStack() as publishers:
            for name in names:
                publishers.enter_context(Publisher(f"{base}/hls/{name}", clip))
            until("playlists", lambda: len(list((tmp_path / "hls").glob("*/index.m3u8"))) == COMPARED, 60)
            table.rows.append(_measured("nginx-rtmp's HLS, not encrypted", _nginx(tmp_path)))
        muxers = []
        for name in names:
            stack.enter_context(Publisher(f"{base}/live/{name}", clip))
            (tmp_path / name).mkdir()
            command = [
                "ffmpeg",
                "-v",
                "error",
                "-nostdin",
                "-i",
                f"{base}/live/{name}",
                "-c",
                "copy",
                "-f",
                "hls",
            ]
            command += ["-hls_time", "2", "-hls_flags", "delete_segments", "-hls_key_info_file"]
            muxer = subprocess.Popen(
                [*command, str(tmp_path / "key-info"), str(tmp_path / name / "index.m3u8")]
            )
            stack.callback(muxer.wait)
            stack.callback(muxer.terminate)
            muxers.append(psutil.Process(muxer.pid))
        until("playlists", lambda: len(list(tmp_path.glob("s*/index.m3u8"))) == COMPARED, 60)
        table.rows.append(_measured("FFmpeg's HLS, AES-128, behind nginx-rtmp", [*muxers, *_nginx(tmp_path)]))
    tables.append(table)
