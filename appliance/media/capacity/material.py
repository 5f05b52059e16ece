"""What the probes encode: a clip of moving pictures with sound, over and over, as a publisher would send it.

The pictures are FFmpeg's moving test picture under a grain like a camera's. How dear a picture is to encode
is the picture's affair: sport costs more than a lecture. `admission_headroom` is there for that, too.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.media.encode.command import MEDIA_START_S
from appliance.media.encode.source import SourceProbe
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import Message, MessageType
from appliance.subprocesses import NOT_THERE, TOO_LONG, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator

    from appliance.media.encode.source import Source

CLIP_S: Final = 4
_GRAIN: Final = "noise=alls=6:allf=t"
_MOST_S: Final = 180.0
_FILE_HEADER: Final = 13
_TAG_HEADER: Final = 11
_BACK_POINTER: Final = 4


@dataclass(frozen=True, slots=True)
class Clip:
    """The clip as RTMP would bring it: headers of the tracks, and frames in the order of their times."""

    source: Source
    headers: tuple[Message, ...]
    frames: tuple[Message, ...]

    def begin(self) -> bytes:
        """What FFmpeg must know before the first frame, as `appliance.media.encode.run` writes it."""
        parts = [flv.file_header(video=self.source.video is not None, audio=self.source.audio is not None)]
        if self.source.fps:
            parts.append(flv.metadata_tag({"framerate": float(self.source.fps)}))
        start = MEDIA_START_S * 1000
        return b"".join([*parts, *(flv.tag(each.type, start, each.payload) for each in self.headers)])

    def play(self) -> Iterator[tuple[int, bytes]]:
        """Gives each frame's time (ms of media from 0 on) and its FLV tag, over and over without an end."""
        turn = 0
        while True:
            for frame in self.frames:
                at = turn + frame.timestamp
                yield at, flv.tag(frame.type, MEDIA_START_S * 1000 + at, frame.payload)
            turn += CLIP_S * 1000


async def make_clip(source: Source, kbps: int, folder: Path, *, ffmpeg: str = "ffmpeg") -> Clip:
    """Makes a clip of `source`'s size and rate, about `kbps` of pictures, in `folder`.

    Raises OperatorError when FFmpeg cannot.
    """
    if source.video is None:
        raise ValueError("a clip has pictures")
    file, rate = folder / "clip.flv", source.fps or 30
    size = f"{source.video.width}x{source.video.height}"
    command = [
        *(ffmpeg, "-hide_banner", "-nostdin", "-loglevel", "error"),
        *("-f", "lavfi", "-i", f"testsrc2=size={size}:rate={rate}:duration={CLIP_S},{_GRAIN}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:sample_rate=48000:duration={CLIP_S}"),
        *("-c:v", "libx264", "-preset", "superfast", "-pix_fmt", "yuv420p", "-g", str(round(2 * rate))),
        *("-b:v", f"{kbps}k", "-maxrate", f"{kbps}k", "-bufsize", f"{kbps}k"),
        *("-c:a", "aac", "-ac", "2", "-b:a", "128k", "-f", "flv", str(file)),
    ]
    done = await run_program(*command, seconds=_MOST_S)
    if done.status == NOT_THERE:
        raise _cannot(f"{ffmpeg} cannot be started: {done.said.removeprefix(f'{ffmpeg}: ')}")
    if done.status == TOO_LONG:
        raise _cannot(f"it takes longer than {_MOST_S:g} s")
    if done.status:
        lines = done.errors.strip().splitlines()
        raise _cannot(lines[0] if lines else f"FFmpeg's exit status is {done.status}")
    return read_clip(await asyncio.to_thread(file.read_bytes))


def read_clip(data: bytes) -> Clip:
    """Returns the clip in the FLV file `data`, which FFmpeg has just made. Raises OperatorError."""
    probe = SourceProbe()
    frames = [
        message
        for message in _messages(data)
        if probe.observe(message, 0) and message.timestamp < CLIP_S * 1000
    ]
    probe.ready(0)
    if not probe.headers or not frames:
        raise _cannot("FFmpeg has made a clip without frames")
    return Clip(probe.source, tuple(probe.headers.values()), tuple(frames))


def _messages(data: bytes) -> Iterator[Message]:
    """The tags of an FLV file (annex E.4 of its specification), as RTMP messages."""
    at = _FILE_HEADER
    while at + _TAG_HEADER <= len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        time = int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24
        begin = at + _TAG_HEADER
        yield Message(MessageType(data[at]), time, data[begin : begin + length])
        at = begin + length + _BACK_POINTER


def _cannot(why: str) -> OperatorError:
    return OperatorError(
        f"the probe's clip cannot be made: {why}",
        exit_code=EX_UNAVAILABLE,
        hint="see whether FFmpeg works here: ffmpeg -hide_banner -encoders",
    )
