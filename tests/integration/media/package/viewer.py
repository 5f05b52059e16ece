"""FFmpeg as a viewer: what it sees and hears, and what it complains about."""

from __future__ import annotations

import re
import subprocess
from itertools import pairwise

FRAME = 0.04
"""Seconds; also what a viewer's ear and eye forgive."""


def ffmpeg(*arguments: str, level: str = "error") -> str:
    """What FFmpeg prints; asserts that it has nothing to say of `level` or worse."""
    done = subprocess.run(
        ["ffmpeg", "-nostdin", "-hide_banner", "-v", level, *arguments],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def levels(text: str) -> list[tuple[float, float]]:
    """(time, value) of each frame, from FFmpeg's metadata filter."""
    times = [float(item) for item in re.findall(r"pts_time:(\S+)", text)]
    values = [
        float(item.replace("-inf", "-999")) for item in re.findall(r"^lavfi\S+=(\S+)$", text, re.MULTILINE)
    ]
    return list(zip(times, values, strict=True))


def onsets(samples: list[tuple[float, float]], threshold: float) -> list[float]:
    """When the value rises above `threshold`."""
    first = [samples[0][0]] if samples[0][1] > threshold else []
    return first + [time for (_, low), (time, high) in pairwise(samples) if low <= threshold < high]


def flashes_and_beeps(
    source: str, variant: int, *, sound: int = 0, level: str = "error"
) -> tuple[list[float], list[float], int]:
    """Onsets of flashes and of beeps when `source` is decoded, and the number of pictures.

    `variant` and `sound` are the numbers of the streams, of each kind.
    """
    lit = levels(
        ffmpeg(
            "-copyts", "-i", source, "-map", f"0:v:{variant}",
            "-vf", "signalstats,metadata=print:key=lavfi.signalstats.YAVG:file=-", "-f", "null", "-",
            level=level,
        )
    )  # fmt: skip
    loud = levels(
        ffmpeg(
            "-copyts", "-i", source, "-map", f"0:a:{sound}",
            "-af", "asetnsamples=240,astats=metadata=1:reset=1,"
            "ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-", "-f", "null", "-",
            level=level,
        )
    )  # fmt: skip
    return onsets(lit, 100), onsets(loud, -30), len(lit)
