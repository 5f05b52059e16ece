"""Reads flashes and beeps off media with FFmpeg: what a player would show and sound, and when."""

from __future__ import annotations

import asyncio
import re
import statistics
from dataclasses import dataclass


@dataclass(frozen=True)
class Offsets:
    """Picture against sound, milliseconds; positive: the flash comes after its beep."""

    milliseconds: list[float]

    @property
    def worst(self) -> float:
        return max(self.milliseconds, key=abs)

    @property
    def median(self) -> float:
        return statistics.median(self.milliseconds)


async def _ffmpeg(data: bytes, *arguments: str) -> str:
    process = await asyncio.create_subprocess_exec(
        "ffmpeg", "-hide_banner", "-nostats", "-loglevel", "info", "-copyts", "-i", "pipe:0", *arguments,
        "-f", "null", "-",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, errors = await process.communicate(data)
    text = errors.decode(errors="replace")
    assert process.returncode == 0, text
    return text


async def flashes(data: bytes) -> list[float]:
    """Times in seconds at which the picture turns white."""
    text = await _ffmpeg(data, "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG")
    times: list[float] = []
    lit = True
    for moment, level in re.findall(r"pts_time:([\d.]+).*?YAVG=([\d.]+)", text, re.DOTALL):
        if float(level) > 128 and not lit:
            times.append(float(moment))
        lit = float(level) > 128
    return times


async def beeps(data: bytes) -> list[float]:
    """Times in seconds at which the sound sets in."""
    # Silence ends with the media too: padded, that end lies far from any flash.
    text = await _ffmpeg(data, "-af", "apad=pad_dur=5,silencedetect=noise=-25dB:duration=0.3")
    return [float(moment) for moment in re.findall(r"silence_end: ([\d.]+)", text)]


async def picture_against_sound(video: bytes, audio: bytes) -> Offsets:
    """Pairs each flash with the nearest beep. Raises AssertionError when there is nothing to compare."""
    seen, heard = await flashes(video), await beeps(audio)
    pairs = [(flash, min(heard, key=lambda beep: abs(beep - flash))) for flash in seen if heard]
    near = [(flash - beep) * 1000 for flash, beep in pairs if abs(flash - beep) < 0.5]
    assert near, f"flashes at {seen}, beeps at {heard}"
    return Offsets(near)
