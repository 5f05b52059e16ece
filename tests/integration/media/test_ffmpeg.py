"""The ladder's command line with the real FFmpeg: aligned keyframes, sound in sync, a quick start."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.encode.command import ffmpeg_command
from appliance.media.encode.encoder import choose_encoder, try_encoder
from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.encode.ladder import parse_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import SourceProbe
from tests.integration.media.encoding import default_plan, encode, messages_of
from tests.integration.media.measure import picture_against_sound

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode


@pytest.mark.parametrize("fps", ["25", "30000/1001", "50", "60000/1001", "60", "24000/1001"])
async def test_keyframes_of_all_rungs_stand_at_the_segment_boundaries(clip: Encode, fps: str) -> None:
    """Source keyframes lie elsewhere (every 3 s), and two rungs have half the frames of 50 and 60 fps."""
    boxes = [("a", 640, 360, 60), ("b", 480, 270, 30), ("c", 320, 180, 30)]
    rows = [
        {"name": name, "width": width, "height": height, "fps": cap, "video_kbps": 400, "audio_kbps": 64}
        for name, width, height, cap in boxes
    ]
    ladder = parse_ladder({"rungs": rows}, Path("test.yml"))
    path = await clip(size="640x360", fps=fps, seconds=21, gop_s=3, bframes=2)
    output = await encode(
        path, plan=lambda source: replace(default_plan(source), rungs=plan_rungs(ladder, source))
    )
    rungs = sorted(output.data.keys() - {"audio"})
    assert rungs == ["a", "b", "c"]
    keyframes = [output.keyframes(name) for name in rungs]
    assert keyframes[0] == keyframes[1] == keyframes[2]
    assert len(keyframes[0]) == 11
    frame = 1001 / 1000 / 24 if "24" in fps else 1 / 25
    for number, moment in enumerate(keyframes[0]):
        assert -1e-6 < moment - keyframes[0][0] - 2 * number < frame


@pytest.mark.parametrize("late_audio", [0, 0.7])
@pytest.mark.parametrize("bframes", [0, 2])
async def test_sound_stays_with_its_picture(clip: Encode, late_audio: float, bframes: int) -> None:
    output = await encode(await clip(late_audio=late_audio, bframes=bframes))
    offsets = await picture_against_sound(bytes(output.data["360p"]), bytes(output.data["audio"]))
    assert len(offsets.milliseconds) >= 10
    assert abs(offsets.worst) < 60


async def test_surround_sound_becomes_stereo(clip: Encode) -> None:
    output = await encode(await clip(channels=6))
    assert b"mp4a" in output.data["audio"]
    offsets = await picture_against_sound(bytes(output.data["360p"]), bytes(output.data["audio"]))
    assert abs(offsets.worst) < 60
    entry = output.data["audio"].index(b"mp4a")
    assert int.from_bytes(output.data["audio"][entry + 20 : entry + 22]) == 2


async def test_a_source_without_sound_and_one_without_picture(clip: Encode) -> None:
    assert list((await encode(await clip(audio=False))).data) == ["360p"]
    assert list((await encode(await clip(video=False))).data) == ["audio"]


async def test_the_first_fragments_come_soon(clip: Encode) -> None:
    output = await encode(await clip(size="1280x720", seconds=4), paced=True)
    print(f"first bytes after {output.first}")
    # Half a second on a quiet machine; half of the clip tells it from an FFmpeg that waits for all of it.
    assert max(output.first.values()) < 2.0


async def test_a_killed_ffmpeg_says_so(clip: Encode) -> None:
    plan_source = SourceProbe()
    for message in messages_of(await clip()):
        plan_source.observe(message, 0)
    plan = default_plan(plan_source.source)
    ffmpeg = await FFmpeg.start(
        lambda pipes, progress: ffmpeg_command(plan, outputs=pipes, progress=progress),
        plan.renditions,
        lambda _rendition, _data: None,
    )
    os.kill(ffmpeg.pid, signal.SIGKILL)
    async with asyncio.timeout(10):
        ending = await ffmpeg.ended
    assert ending.reason == "killed by SIGKILL"


async def test_the_encoder_is_chosen_by_encoding() -> None:
    assert await try_encoder("x264") is None
    choice = await choose_encoder("auto")
    assert choice.reason
    assert await try_encoder(choice.family) is None


async def test_an_ffmpeg_that_is_not_there_is_named() -> None:
    reason = await try_encoder("x264", ffmpeg="/nonexistent/ffmpeg")
    assert reason == "/nonexistent/ffmpeg cannot be started: No such file or directory"
