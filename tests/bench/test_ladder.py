"""One FFmpeg for the whole ladder against one for each rung, in CPU seconds."""

from __future__ import annotations

import os
import subprocess
from fractions import Fraction
from pathlib import Path

import pytest

from appliance.media.encode.codec_config import VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source
from tests.bench.conftest import Comparison

SECONDS = 4


@pytest.fixture(scope="module")
def source_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A moving picture of 1280x720 at 30 fps, as an encoder would send it."""
    path = tmp_path_factory.mktemp("source") / "source.flv"
    picture = f"testsrc2=s=1280x720:r=30:d={SECONDS}"
    subprocess.run(
        [
            "ffmpeg",
            "-v",
            "error",
            "-f",
            "lavfi",
            "-i",
            picture,
            "-c:v",
            "libx264",
            "-preset",
            "veryfast",
            path,
        ],
        check=True,
    )
    return path


def cpu_seconds(source: Path, plan: RunPlan) -> float:
    """Run FFmpeg over `source` as the session does, its outputs to nowhere; return user and system time."""
    with source.open("rb") as pictures, Path(os.devnull).open("wb") as nowhere:
        descriptor = nowhere.fileno()
        command = ffmpeg_command(plan, outputs=[descriptor] * len(plan.renditions), progress=descriptor)
        before = os.times()
        subprocess.run(command, stdin=pictures, pass_fds=[descriptor], check=True, capture_output=True)
        after = os.times()
    return after.children_user + after.children_system - before.children_user - before.children_system


def test_one_ffmpeg_for_all_rungs(source_file: Path) -> None:
    source = Source(VideoConfig(profile=100, level=31, width=1280, height=720), None, Fraction(30))
    rungs = plan_rungs(load_ladder(ladder_path("default")), source)
    encoder = EncoderChoice("x264", "the bench compares x264 with itself")
    whole = RunPlan(source, rungs, encoder, segment_seconds=2.0, part_seconds=0.25)
    each = [RunPlan(source, (rung,), encoder, segment_seconds=2.0, part_seconds=0.25) for rung in rungs]

    ratio = Comparison(
        f"ladder of {len(rungs)} rungs, {SECONDS} s of 720p30: one FFmpeg",
        lambda: cpu_seconds(source_file, whole),
        "an FFmpeg for each rung",
        lambda: sum(cpu_seconds(source_file, plan) for plan in each),
    ).measure()

    assert ratio > 0
