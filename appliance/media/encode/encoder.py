"""Which video encoder a host uses: found by encoding, never by seeing a GPU.

Data-centre GPUs (A100, H100, H200) decode but have no NVENC, and a driver can refuse a session.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.media.encode.ffmpeg import ENVIRONMENT
from appliance.media.encode.gpu_faults import GpuFault, explained, fault_of, telling

if TYPE_CHECKING:
    from appliance.media.encode.ladder import EncoderFamily
    from appliance.settings import EncoderPreference

log = logging.getLogger(__name__)

CODECS: Final[dict[EncoderFamily, str]] = {"nvenc": "h264_nvenc", "x264": "libx264"}
"""FFmpeg's name of each family's H.264 encoder."""

_TRIAL_S: Final = 10.0
"""Longest trial; the first CUDA context on a cold driver takes 2-3 s."""

_DIES_S: Final = 1.0
"""A killed process is gone by then, unless a driver holds it whose GPU is lost."""


@dataclass(frozen=True, slots=True)
class EncoderChoice:
    """The encoder and, in words, why. `stands_in` for one that has failed with the publisher of now.

    `placed`: the control service has said so, when it let that publisher in; `gpu` is the GPU that it named
    (CUDA's index; None is FFmpeg's own choice). No host with two GPUs has ever run it. x264 that stands in
    for a GPU has that one's index as `instead_of`, where it is known, and as `fault` what was the matter.
    """

    family: EncoderFamily
    reason: str
    stands_in: bool = False
    placed: bool = False
    gpu: int | None = None
    instead_of: int | None = None
    fault: GpuFault | None = None

    @property
    def codec(self) -> str:
        """FFmpeg's name of the encoder."""
        return CODECS[self.family]


async def choose_encoder(preference: EncoderPreference, *, ffmpeg: str = "ffmpeg") -> EncoderChoice:
    """Returns NVENC when a frame can be encoded with it, else x264; `preference` other than auto decides
    alone.

    Raises OperatorError (EX_UNAVAILABLE) when the encoder that was asked for, or x264, does not work here.
    """
    if preference == "x264":
        failure = await try_encoder("x264", ffmpeg=ffmpeg)
        choice = EncoderChoice("x264", "the setting `encoder` says x264")
    else:
        failure = await try_encoder("nvenc", ffmpeg=ffmpeg)
        choice = EncoderChoice("nvenc", "NVENC has encoded a frame")
        if failure is not None and preference == "auto":
            choice = EncoderChoice(
                "x264", f"NVENC does not work here: {explained(failure)}", fault=fault_of(failure)
            )
            failure = await try_encoder("x264", ffmpeg=ffmpeg)
    if failure is not None:
        raise OperatorError(
            f"encoder: {preference} is set, and {choice.codec} does not work on this host: {failure}",
            exit_code=EX_UNAVAILABLE,
            hint="set `encoder: auto` to fall back to x264, or run: ffmpeg -hide_banner -encoders",
        )
    log.info("encoder %s: %s", choice.family, choice.reason)
    return choice


async def try_encoder(family: EncoderFamily, *, gpu: int | None = None, ffmpeg: str = "ffmpeg") -> str | None:
    """Encodes one frame with `family`; returns None when that works, else FFmpeg's reason in one line.

    With NVENC on `gpu` (CUDA's index), or on any.
    """
    command = [
        *(ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"),
        # NVENC refuses pictures below 145x49 pixels.
        *("-f", "lavfi", "-i", "color=black:size=320x180:rate=30", "-frames:v", "1", "-pix_fmt", "yuv420p"),
        *("-c:v", CODECS[family]),
        *(() if gpu is None else ("-gpu:v", str(gpu))),
        *("-f", "null", "-"),
    ]
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
        )
    except OSError as error:
        return f"{ffmpeg} cannot be started: {error.strerror}"
    try:
        async with asyncio.timeout(_TRIAL_S):
            _, stderr = await process.communicate()
    except BaseException as error:
        process.kill()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_DIES_S):
                await process.wait()
        if isinstance(error, TimeoutError):
            return f"no frame within {_TRIAL_S:g} s"
        raise
    return None if process.returncode == 0 else _reason(stderr.decode(errors="replace"))


def _reason(stderr: str) -> str:
    """Returns the first line about a GPU, else the first, without `[h264_nvenc @ 0x…]`: others follow."""
    lines = [text for line in stderr.splitlines() if (text := line.rpartition("] ")[2].strip())]
    return telling(lines) or (lines[0] if lines else "FFmpeg failed without a message")
