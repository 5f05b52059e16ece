"""NVENC's command before an FFmpeg's own parser of options, which needs no GPU.

FFmpeg reads every option of a command, and each value of an encoder's, before it asks for a GPU: where there
is none, a good command ends with `Cannot load libcuda.so.1`, and a bad one with what is wrong with it.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import TYPE_CHECKING

from appliance.media.codec.codec_config import AudioConfig, VideoConfig
from appliance.media.encode.command import RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source

if TYPE_CHECKING:
    from collections.abc import Sequence

CLIP = (
    *("-v", "error", "-y", "-f", "lavfi", "-i", "testsrc2=s=640x360:r=30:d=1"),
    *("-f", "lavfi", "-i", "sine=sample_rate=48000:duration=1", "-ac", "2", "-c:a", "aac"),
    *("-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p"),
)
"""FFmpeg's arguments for what the command reads; the file's name follows."""

_REFUSED = re.compile(
    r"unrecogni[sz]ed|unable to parse|error (setting|applying) option|option .*not found|out of range"
    r"|has not been used|undefined constant|unknown encoder|no such filter",
    re.IGNORECASE,
)
_GPU = re.compile(r"libcuda|CUDA|nvenc API|No capable devices", re.IGNORECASE)


def command(ffmpeg: str, *, gpu_decodes: bool) -> list[str]:
    """Return the command of the whole ladder on the GPU 0, for `as_a_stream_has_it`."""
    source = Source(VideoConfig(100, 42, 1920, 1080), AudioConfig(2, 44_100, 2), Fraction(60))
    plan = RunPlan(
        source,
        plan_rungs(load_ladder(ladder_path("default")), source),
        EncoderChoice("nvenc", "asked for"),
        segment_seconds=2,
        part_seconds=0.25,
        begin_s=1,
        thumbnail_seconds=10,
        gpu_decodes=gpu_decodes,
    )
    return ffmpeg_command(plan, outputs=range(4, 4 + len(plan.outputs)), progress=3, ffmpeg=ffmpeg)


def as_a_stream_has_it(words: Sequence[str], clip: str) -> list[str]:
    """Return the command with a clip on its standard input, and its outputs to nowhere."""
    pipes = " ".join(f"{descriptor}>/dev/null" for descriptor in range(3, 10))
    return ["sh", "-c", f'clip=$1; shift; exec "$@" {pipes} <"$clip"', "sh", clip, *words]


def complaints(status: int, said: str) -> list[str]:
    """Return what FFmpeg has against the options of a command that ended so; nothing when it was the GPU."""
    lines = said.splitlines()
    refused = [line for line in lines if _REFUSED.search(line)]
    if not refused and status != 0 and not _GPU.search("\n".join(lines)):
        return [f"exit status {status}, and nothing about a GPU", *lines]
    return refused
