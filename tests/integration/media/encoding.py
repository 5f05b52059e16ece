"""The real FFmpeg on a clip: the ladder's command, and what it wrote."""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from appliance.media.encode.command import MEDIA_START_S, RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ffmpeg import Ending, FFmpeg
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source, SourceProbe
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import Message

X264 = EncoderChoice("x264", "the test says so")


@dataclass
class Output:
    """What an FFmpeg wrote, by rendition, and when the first bytes came (seconds after its start)."""

    data: dict[str, bytearray] = field(default_factory=dict)
    first: dict[str, float] = field(default_factory=dict)
    ending: Ending | None = None

    def keyframes(self, rendition: str) -> list[float]:
        return [time for time, keyframe in self._fragments(rendition) if keyframe]

    def start(self, rendition: str) -> float:
        return self._fragments(rendition)[0][0]

    def _fragments(self, rendition: str) -> list[tuple[float, bool]]:
        data, at, scale = bytes(self.data[rendition]), 0, 1
        found: list[tuple[float, bool]] = []
        while at + 8 <= len(data):
            size, kind = struct.unpack_from(">I4s", data, at)
            box = data[at : at + size]
            if kind == b"moov":
                scale = struct.unpack_from(">I", box, box.index(b"mdhd") + 16)[0]
            elif kind == b"moof":
                tfdt = box.index(b"tfdt")
                moment = struct.unpack_from(">Q" if box[tfdt + 4] else ">I", box, tfdt + 8)[0]
                trun = box.index(b"trun")
                flags = int.from_bytes(box[trun + 5 : trun + 8])
                first = trun + 12 + 4 * (flags & 1)
                # sample_depends_on 2: an I picture (ISO/IEC 14496-12, 8.8.3.1)
                keyframe = bool(flags & 4) and box[first] & 3 == 2
                found.append((moment / scale, keyframe))
            at += size
        return found


def messages_of(path: Path) -> list[Message]:
    data, at, found = path.read_bytes(), 13, []
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        moment = int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24
        found.append(Message(data[at], moment, data[at + 11 : at + 11 + length]))
        at += 15 + length
    return found


def default_plan(source: Source) -> RunPlan:
    """Returns the plan of the default ladder, every rung encoded by x264."""
    return RunPlan(source, plan_rungs(load_ladder(ladder_path("default")), source), X264, 2.0, 0.25)


async def encode(
    path: Path,
    *,
    plan: Callable[[Source], RunPlan] = default_plan,
    alter: Callable[[list[str]], list[str]] = lambda command: command,
    paced: bool = False,
) -> Output:
    """Runs the clip through a plan, `paced` as it would arrive, else as fast as FFmpeg takes it.

    `alter` may change the command line.
    """
    probe, output = SourceProbe(), Output()
    messages = messages_of(path)
    for message in messages:
        probe.observe(message, 0)
        if probe.ready(0):
            break
    else:
        probe.ready(60)
    source = probe.source
    planned = plan(source)
    begun = time.monotonic()

    def sink(rendition: str, data: bytes) -> None:
        output.first.setdefault(rendition, time.monotonic() - begun)
        output.data.setdefault(rendition, bytearray()).extend(data)

    ffmpeg = await FFmpeg.start(
        lambda pipes, progress: alter(ffmpeg_command(planned, outputs=pipes, progress=progress)),
        planned.outputs,
        sink,
    )
    ffmpeg.write(flv.file_header(video=source.video is not None, audio=source.audio is not None))
    ffmpeg.write(flv.metadata_tag({"framerate": float(source.fps or 0)}))
    for header in probe.headers.values():
        ffmpeg.write(flv.tag(header.type, MEDIA_START_S * 1000, header.payload))
    for message in messages:
        if message.type not in probe.headers or message.payload == probe.headers[message.type].payload:
            continue
        if paced:
            await asyncio.sleep(max(0, begun + message.timestamp / 1000 - time.monotonic()))
        ffmpeg.write(flv.tag(message.type, MEDIA_START_S * 1000 + message.timestamp, message.payload))
        if ffmpeg._process.stdin is not None:
            await ffmpeg._process.stdin.drain()
    output.ending = await ffmpeg.finish(patience_s=60)
    assert output.ending == Ending("end of input", code=0)
    return output
