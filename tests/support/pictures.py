"""A test picture that says which frame it is and flashes when the tone beeps, and how to read it back.

Two rows of 16 blocks at the top carry the frame's number in binary, the lower row its complement: whatever is
read with a block wrong is known to be wrong. The bottom of the picture turns white for 0.12 s every 2 s, when
a tone of 1 kHz sounds.
"""

from __future__ import annotations

import math
import subprocess
from array import array
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

BITS = 12
COLUMNS = 16
PERIOD_SECONDS = 2.0
PULSE_SECONDS = 0.12
SAMPLE_RATE = 48000
_STRIP = (COLUMNS, 3)
_WHITE, _BLACK = 170, 85


def video_source(width: int, height: int, rate: str) -> str:
    """Return the filter graph for a lavfi input; `rate` is a number or a fraction such as 30000/1001."""
    row, column = height // 12, width // COLUMNS
    boxes = [
        f"drawbox=0:0:{width}:{row}:black:fill",
        f"drawbox=0:{row}:{width}:{row}:white:fill",
        f"drawbox=0:{height * 3 // 4}:{width}:{height // 4}:black:fill",
    ]
    for bit in range(BITS):
        when = f"enable='mod(floor(n/{1 << bit}),2)'"
        boxes.append(f"drawbox={bit * column}:0:{column}:{row}:white:fill:{when}")
        boxes.append(f"drawbox={bit * column}:{row}:{column}:{row}:black:fill:{when}")
    pulse = f"enable='lt(mod(t,{PERIOD_SECONDS}),{PULSE_SECONDS})'"
    boxes.append(f"drawbox=0:{height * 3 // 4}:{width}:{height // 4}:white:fill:{pulse}")
    return ",".join([f"testsrc2=size={width}x{height}:rate={rate}", *boxes, "format=yuv420p"])


def audio_source(channels: int) -> str:
    """Return the filter graph for a lavfi input: the beep in every channel, of which there are 1, 2 or 6."""
    layout = {1: "mono", 2: "stereo", 6: "5.1"}[channels]
    beep = f"0.5*sin(2*PI*1000*t)*lt(mod(t,{PERIOD_SECONDS}),{PULSE_SECONDS})"
    return f"aevalsrc='{'|'.join([beep] * channels)}':channel_layout={layout}:sample_rate={SAMPLE_RATE}"


@dataclass(frozen=True)
class Picture:
    """One decoded frame."""

    time: float
    """Presentation time, s."""
    number: int | None
    """The frame's number; None when it cannot be read."""
    flash: bool


def _output(*argv: str) -> bytes:
    done = subprocess.run(argv, capture_output=True, check=False)
    assert done.returncode == 0, f"{argv[0]} failed: {done.stderr.decode(errors='replace')[-1500:]}"
    return done.stdout


def _times(file: Path, stream: str, *, first: bool = False) -> list[float]:
    only = ["-read_intervals", "%+#1"] if first else []
    text = _output(
        "ffprobe", "-v", "error", *only, "-select_streams", stream, "-show_entries", "frame=pts_time",
        "-of", "csv=p=0", str(file),
    ).decode()  # fmt: skip
    return [float(line.split(",")[0]) for line in text.split() if line.split(",")[0] != "N/A"]


def _number(strip: bytes) -> int | None:
    value = 0
    for bit in range(BITS):
        plain, complement = strip[bit], strip[COLUMNS + bit]
        if plain > _WHITE and complement < _BLACK:
            value |= 1 << bit
        elif not (plain < _BLACK and complement > _WHITE):
            return None
    return value


def read_pictures(file: Path) -> list[Picture]:
    """Decode every frame of a media file and read it."""
    width, height = _STRIP
    blocks = (
        "format=gray,split=2[a][b];"
        f"[a]crop=iw:floor(ih/6):0:0,scale={COLUMNS}:2:flags=area[bits];"
        f"[b]crop=iw:floor(ih/6):0:ih-floor(ih/6),scale={COLUMNS}:1:flags=area[pulse];"
        "[bits][pulse]vstack"
    )
    raw = _output(
        "ffmpeg", "-v", "error", "-i", str(file), "-map", "0:v:0", "-vf", blocks, "-fps_mode", "passthrough",
        "-f", "rawvideo", "-pix_fmt", "gray", "-",
    )  # fmt: skip
    size = width * height
    strips = [raw[i : i + size] for i in range(0, len(raw), size)]
    times = _times(file, "v:0")
    assert len(times) == len(strips), f"{file}: {len(times)} time stamps for {len(strips)} pictures"
    return [
        Picture(time, _number(strip), sum(strip[2 * COLUMNS :]) / COLUMNS > 128)
        for time, strip in zip(times, strips, strict=True)
    ]


def flashes(pictures: list[Picture]) -> list[float]:
    """Return the times at which a flash begins, one that may have begun before the first picture left out."""
    return [now.time for before, now in pairwise(pictures) if now.flash and not before.flash]


def beeps(file: Path) -> list[float]:
    """Return the times at which a beep begins, s, but of one that may have begun earlier."""
    start = _times(file, "a:0", first=True)[0]
    raw = _output(
        "ffmpeg", "-v", "error", "-i", str(file), "-map", "0:a:0", "-ac", "1", "-ar", str(SAMPLE_RATE),
        "-f", "s16le", "-",
    )  # fmt: skip
    samples = array("h")
    samples.frombytes(raw[: len(raw) // 2 * 2])
    block = SAMPLE_RATE // 500  # 2 ms: two periods of the tone
    loud = [
        math.sqrt(sum(value * value for value in samples[at : at + block]) / block) > 2500
        for at in range(0, len(samples) - block, block)
    ]
    quiet = int(0.5 / 0.002)  # a beep begins after half a second of silence
    return [
        start + index * block / SAMPLE_RATE
        for index in range(quiet, len(loud))
        if loud[index] and not any(loud[index - quiet : index])
    ]


def skews(video: list[float], audio: list[float]) -> list[float]:
    """Return, for each flash that has a beep nearby, how much later the beep is, s."""
    found = []
    for flash in video:
        nearest = min(audio, key=lambda beep: abs(beep - flash), default=None)
        if nearest is not None and abs(nearest - flash) < PERIOD_SECONDS / 2:
            found.append(nearest - flash)
    return found
