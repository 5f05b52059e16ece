"""Decoding and scaling on a GPU, and what a stream does when its GPU fails.

What needs a GPU is skipped on a host without one. On a GPU that has no NVENC (A100, H100, H200) x264 stands
in for it: pictures then leave the GPU's memory just before they are encoded.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.encode.encoder import choose_encoder
from tests.integration.media.encoding import default_plan, encode
from tests.integration.media.measure import picture_against_sound

if TYPE_CHECKING:
    from appliance.media.encode.command import RunPlan
    from appliance.media.encode.source import Source
    from tests.integration.media.conftest import Encode
    from tests.integration.media.stage import Stage

_NEEDS_A_GPU = pytest.mark.skipif(
    not Path("/dev/nvidiactl").exists(), reason="needs an NVIDIA GPU (/dev/nvidiactl)"
)


def _leave_the_gpu(command: list[str]) -> list[str]:
    """Has the pictures of each rung fetched from the GPU after they were scaled."""
    graph = command.index("-filter_complex") + 1
    fetched = command[graph].replace(",setsar=1[", ",hwdownload,format=yuv420p,setsar=1[")
    return [*command[:graph], fetched, *command[graph + 1 :]]


@_NEEDS_A_GPU
@pytest.mark.parametrize(("size", "fps"), [("1920x1080", "30"), ("1280x720", "60000/1001")])
async def test_pictures_are_decoded_and_scaled_on_the_gpu(clip: Encode, size: str, fps: str) -> None:
    encoder = await choose_encoder("auto")
    print(f"encoder: {encoder.codec}, {encoder.reason}")

    def plan(source: Source) -> RunPlan:
        return replace(default_plan(source), encoder=encoder, gpu_decodes=True, thumbnail_seconds=5)

    alter = _leave_the_gpu if encoder.family == "x264" else list
    output = await encode(await clip(size=size, fps=fps, bframes=2), plan=plan, alter=alter)
    rungs = [name for name in output.data if re.fullmatch(r"\d+p", name)]
    assert len(rungs) >= 3
    keyframes = [output.keyframes(name) for name in rungs]
    assert all(each == keyframes[0] for each in keyframes)
    assert len(keyframes[0]) == 6
    offsets = await picture_against_sound(bytes(output.data["360p"]), bytes(output.data["audio"]))
    assert len(offsets.milliseconds) >= 10
    assert abs(offsets.worst) < 60
    assert output.data["thumbnail.jpg"].startswith(b"\xff\xd8"), "a JPEG"


async def test_a_gpu_that_fails_gives_way_to_the_cpu(stage: Stage, clip: Encode, tmp_path: Path) -> None:
    """NVENC encodes a frame when it is tried, and fails in the stream: on this host it never works."""
    ffmpeg = tmp_path / "ffmpeg"
    ffmpeg.write_text(
        '#!/bin/sh\ncase "$*" in *"-frames:v 1"*h264_nvenc*) exit 0;; esac\nexec ffmpeg "$@"\n',
        encoding="utf-8",
    )
    ffmpeg.chmod(0o755)
    async with stage.session(ffmpeg=str(ffmpeg)):
        await stage.publish(await clip(seconds=20))
        await stage.until(lambda: stage.published.count("360p") >= 2)
        assert stage.status["encoder"]["family"] == "x264"
        assert stage.status["encoder"]["reason"].startswith("NVENC failed in this stream: no NVIDIA driver")
        assert stage.status["run"] == 2, "on the GPU, and without it"
