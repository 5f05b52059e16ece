#!/usr/bin/env python3
"""FFmpeg on a host without a GPU: NVENC's command as it is, its encoder swapped at the last step.

For tests of what happens around NVENC. What FFmpeg is started with has h264_nvenc, the decoder and the scaler
of a GPU in it; this program takes its place, puts x264 and the CPU's scaler there, and becomes FFmpeg. So it
is x264 that encodes, and nothing here says that NVENC would have.

Files beside this program say what happens to a command with h264_nvenc in it: of `says-trial` and `says-run`
the text is printed, as FFmpeg's log, and the command fails; `real` leaves it to the real FFmpeg as it is;
`absent` asks that for an encoder it was not built with; `clings` leaves a process behind that holds the pipes
when FFmpeg is killed, as a driver would whose GPU is lost, and writes its number there.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NoReturn

_HERE = Path(__file__).parent
_OF_NVENC_ALONE = (
    "-tune:v",
    "-rc:v",
    "-rc-lookahead:v",
    "-zerolatency:v",
    "-delay:v",
    "-gpu:v",
    "-profile:v",
)
_OF_CUDA = ("-hwaccel", "-hwaccel_output_format", "-hwaccel_device")


def swapped(words: list[str]) -> list[str]:
    """The command with x264 in place of NVENC."""
    found: list[str] = []
    rest = iter(words)
    for word in rest:
        if word in _OF_NVENC_ALONE or word in _OF_CUDA:
            next(rest)
        elif word == "-preset:v":
            next(rest)
            found += [word, "ultrafast", "-tune:v", "zerolatency"]
        else:
            text = word.replace("h264_nvenc", "libx264").replace("hwdownload,format=nv12,", "")
            found.append(text.replace("scale_cuda=", "scale=").replace(":format=yuv420p", ",format=yuv420p"))
    return found


def become(words: list[str]) -> NoReturn:
    """Goes on as the real FFmpeg."""
    real = shutil.which("ffmpeg") or "/usr/bin/ffmpeg"
    os.execv(real, [real, *words])  # noqa: S606 - the arguments are FFmpeg's


def main(words: list[str]) -> None:
    """Becomes FFmpeg, or fails as it would."""
    if "h264_nvenc" not in words or (_HERE / "real").exists():
        become(words)
    if (_HERE / "absent").exists():
        become([word.replace("h264_nvenc", "h264_nvenc_absent") for word in words])
    trial = "-frames:v" in words
    says = _HERE / ("says-trial" if trial else "says-run")
    if says.exists():
        sys.stderr.write(says.read_text(encoding="utf-8"))
        sys.exit(1)
    if (_HERE / "clings").exists() and not trial:
        clinging = subprocess.Popen(["sleep", "60"], close_fds=False)
        (_HERE / "clings").write_text(str(clinging.pid))
    become(swapped(words))


if __name__ == "__main__":
    main(sys.argv[1:])
