"""Sessions side by side, of which one ends when nobody expects it."""

from __future__ import annotations

import asyncio
import gc
import sys
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from appliance.media.capacity.material import Clip
from appliance.media.capacity.reference import Reference
from appliance.media.capacity.trial import TrialError, trial
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.settings import Settings
from tests.unit.media.encode.messages import audio_header, keyframe, video_header

if TYPE_CHECKING:
    from pathlib import Path

# Answers on each pipe that it is given, and takes what comes.
PROGRAM = f"""#!{sys.executable}
import os, sys
for word in sys.argv:
    if word.startswith("pipe:") and word != "pipe:0":
        os.write(int(word[5:]), b"x")
while os.read(0, 1 << 16):
    pass
"""


@pytest.mark.parametrize("looks", [0, 1])
async def test_an_ffmpeg_that_is_gone_when_it_is_looked_at_is_a_failed_trial(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, looks: int
) -> None:
    """When what counts begins, or at the end: its exit may not have been seen yet."""
    source = described_source("1280x720@30")
    plan = Reference.of(
        source, load_ladder(ladder_path("default")), Settings(), EncoderChoice("x264", "test")
    ).whole
    clip = Clip(source, (video_header(), audio_header()), tuple(keyframe(at) for at in range(0, 4000, 40)))
    program, process, seen = tmp_path / "ffmpeg", psutil.Process, []
    program.write_text(PROGRAM, encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setattr("appliance.media.capacity.trial._SETTLE_S", 0.1)
    [session] = await trial(plan, clip, 1, 0.2, ffmpeg=str(program))
    assert session.speed > 1

    def look(pid: int) -> psutil.Process:
        seen.append(pid)
        if len(seen) > looks:
            raise psutil.NoSuchProcess(pid)
        return process(pid)

    monkeypatch.setattr(psutil, "Process", look)
    with pytest.raises(TrialError, match="FFmpeg has ended"):
        await trial(plan, clip, 1, 0.2, ffmpeg=str(program))


async def test_a_trial_that_fails_leaves_no_error_that_nobody_saw() -> None:
    source = described_source("1280x720@30")
    plan = Reference.of(
        source, load_ladder(ladder_path("default")), Settings(), EncoderChoice("x264", "test")
    ).whole
    said: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: said.append(context))
    with pytest.raises(TrialError, match="cannot be started"):
        await trial(plan, Clip(source, (), ()), 2, 0.1, ffmpeg="/nowhere/ffmpeg")
    await asyncio.sleep(0)
    gc.collect()
    assert said == []
