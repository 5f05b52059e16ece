"""CPU seconds of the ladder in one FFmpeg, against an FFmpeg for each rung that publishes back into nginx.

The other way is what an `exec ffmpeg` in the ingest application does: decode, scale and encode for each
rung, RTMP to nginx, and nginx's own HLS. Both ways read the same file, as fast as they can, and nothing else
counts: neither the source's own way through RTMP nor, on our side, the packager.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.copying import with_copy
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS
from tests.bench.conftest import Comparison
from tests.support.listening import free_port

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.media.encode.rungs import PlannedRung

SECONDS = 3
MOST_COPIED = 0.55
MOST_ENCODED = 1.0

_MODULE = Path("/usr/lib/nginx/modules/ngx_rtmp_module.so")
_CONFIG = """
load_module {module};
daemon off; master_process off; worker_processes 1;
pid {folder}/pid; error_log stderr error;
events {{ worker_connections 64; }}
rtmp {{ server {{
    listen 127.0.0.1:{port};
    application hls {{ live on; hls on; hls_path {folder}/hls; hls_fragment 2s; hls_nested on; }}
}} }}
"""


@dataclass(frozen=True)
class Nginx:
    """nginx with the RTMP module; started for each round, so that its CPU time counts with the round's."""

    folder: Path
    port: int

    def start(self) -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            ["nginx", "-p", str(self.folder), "-c", "nginx.conf"], stderr=subprocess.DEVNULL
        )
        while True:
            assert process.poll() is None, "nginx has ended"
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return process
            time.sleep(0.01)


@pytest.fixture(scope="module")
def nginx(tmp_path_factory: pytest.TempPathFactory) -> Nginx:
    """A folder and a port for an nginx."""
    if shutil.which("nginx") is None or not _MODULE.exists():
        pytest.skip("no nginx with the RTMP module: apt-get install nginx libnginx-mod-rtmp")
    folder = tmp_path_factory.mktemp("nginx")
    (folder / "logs").mkdir()
    port = free_port()
    (folder / "nginx.conf").write_text(
        _CONFIG.format(module=_MODULE, folder=folder, port=port), encoding="utf-8"
    )
    return Nginx(folder, port)


@pytest.fixture(scope="module")
def source_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving picture of 1280x720 at 30 fps with sound, a keyframe each two seconds."""
    path = tmp_path_factory.mktemp("source") / "source.flv"
    picture = f"testsrc2=s=1280x720:r=30:d={SECONDS}"
    command = ["ffmpeg", "-v", "error", "-f", "lavfi", "-i", picture]
    command += ["-f", "lavfi", "-i", f"sine=r=48000:d={SECONDS}", "-ac", "2", "-c:a", "aac"]
    command += ["-c:v", "libx264", "-preset", "veryfast", "-g", "60", "-b:v", "2800k", "-pix_fmt", "yuv420p"]
    subprocess.run([*command, str(path)], check=True)
    return path


def cpu_seconds(work: Callable[[], None]) -> float:
    """Return user and system time of the processes that `work` starts and waits for."""
    before = os.times()
    work()
    after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def ladder(source: Path, plan: RunPlan) -> None:
    """Run FFmpeg over `source` as the session does, its outputs to nowhere."""
    with source.open("rb") as media, Path(os.devnull).open("wb") as nowhere:
        descriptor = nowhere.fileno()
        command = ffmpeg_command(plan, outputs=[descriptor] * len(plan.outputs), progress=descriptor)
        subprocess.run(command, stdin=media, pass_fds=[descriptor], check=True, capture_output=True)


def ffmpeg_for_each(source: Path, rungs: tuple[PlannedRung, ...], nginx: Nginx) -> None:
    """Encode each rung in an FFmpeg of its own, which publishes to nginx."""
    server = nginx.start()
    try:
        for rung in rungs:
            command = ["ffmpeg", "-v", "error", "-i", str(source)]
            command += ["-c:v", "libx264", "-preset", "veryfast", "-tune", "zerolatency", "-g", "60"]
            command += ["-vf", f"scale={rung.width}:{rung.height}", "-b:v", f"{rung.video_kbps}k"]
            command += ["-maxrate", f"{rung.peak_kbps}k", "-bufsize", f"{rung.peak_kbps}k"]
            command += ["-c:a", "aac", "-b:a", f"{rung.audio_kbps}k"]
            url = f"rtmp://127.0.0.1:{nginx.port}/hls/demo_{rung.name}"
            subprocess.run([*command, "-f", "flv", url], check=True, capture_output=True)
    finally:
        server.terminate()
        server.wait()


@pytest.mark.parametrize(("copied", "most"), [(True, MOST_COPIED), (False, MOST_ENCODED)])
def test_the_ladder_costs_less_than_an_ffmpeg_for_each_rung(
    source_file: Path, nginx: Nginx, copied: bool, most: float
) -> None:
    source = Source(
        VideoConfig(profile=100, level=31, width=1280, height=720),
        AudioConfig(object_type=2, rate=48_000, channels=2),
        Fraction(30),
    )
    rungs = plan_rungs(load_ladder(ladder_path("default")), source)
    plan = RunPlan(
        source,
        with_copy(rungs, source, None)[0] if copied else rungs,
        EncoderChoice("x264", "the bench compares x264 with itself"),
        segment_seconds=2.0,
        part_seconds=0.25,
        thumbnail_seconds=THUMBNAIL_SECONDS,
    )
    assert plan.copies is copied

    ratio = Comparison(
        f"{SECONDS} s of 720p30, {len(rungs)} rungs, {'top copied' if copied else 'all encoded'}",
        lambda: cpu_seconds(lambda: ladder(source_file, plan)),
        "FFmpeg for each, RTMP, HLS",
        lambda: cpu_seconds(lambda: ffmpeg_for_each(source_file, rungs, nginx)),
    ).measure()

    assert ratio <= most
