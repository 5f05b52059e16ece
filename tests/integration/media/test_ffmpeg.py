"""The ladder's command line with the real FFmpeg: aligned keyframes, sound in sync, a quick start."""

from __future__ import annotations

import asyncio
import os
import signal
import struct
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.media.encode.command import MEDIA_START_S, RunPlan, ffmpeg_command
from appliance.media.encode.encoder import EncoderChoice, choose_encoder, try_encoder
from appliance.media.encode.ffmpeg import Ending, FFmpeg
from appliance.media.encode.ladder import Ladder, ladder_path, load_ladder, parse_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import SourceProbe
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import Message
from tests.integration.media.measure import picture_against_sound

if TYPE_CHECKING:
    from tests.integration.media.conftest import Encode

_X264 = EncoderChoice("x264", "the test says so")


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


def _messages(path: Path) -> list[Message]:
    data, at, found = path.read_bytes(), 13, []
    while at < len(data):
        length = int.from_bytes(data[at + 1 : at + 4])
        moment = int.from_bytes(data[at + 4 : at + 7]) | data[at + 7] << 24
        found.append(Message(data[at], moment, data[at + 11 : at + 11 + length]))
        at += 15 + length
    return found


async def _encode(path: Path, *, ladder: Ladder | None = None, paced: bool = False) -> Output:
    """Runs the clip through the ladder, `paced` as it would arrive, else as fast as FFmpeg takes it."""
    probe, output = SourceProbe(), Output()
    messages = _messages(path)
    for message in messages:
        probe.observe(message, 0)
        if probe.ready(0):
            break
    else:
        probe.ready(60)
    source = probe.source
    plan = RunPlan(
        source, plan_rungs(ladder or load_ladder(ladder_path("default")), source), _X264, 2.0, 0.25
    )
    begun = time.monotonic()

    def sink(rendition: str, data: bytes) -> None:
        output.first.setdefault(rendition, time.monotonic() - begun)
        output.data.setdefault(rendition, bytearray()).extend(data)

    ffmpeg = await FFmpeg.start(
        lambda pipes, progress: ffmpeg_command(plan, outputs=pipes, progress=progress), plan.renditions, sink
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
    output = await _encode(path, ladder=ladder)
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
    output = await _encode(await clip(late_audio=late_audio, bframes=bframes))
    offsets = await picture_against_sound(bytes(output.data["360p"]), bytes(output.data["audio"]))
    assert len(offsets.milliseconds) >= 10
    assert abs(offsets.worst) < 60


async def test_surround_sound_becomes_stereo(clip: Encode) -> None:
    output = await _encode(await clip(channels=6))
    assert b"mp4a" in output.data["audio"]
    offsets = await picture_against_sound(bytes(output.data["360p"]), bytes(output.data["audio"]))
    assert abs(offsets.worst) < 60
    entry = output.data["audio"].index(b"mp4a")
    assert int.from_bytes(output.data["audio"][entry + 20 : entry + 22]) == 2


async def test_a_source_without_sound_and_one_without_picture(clip: Encode) -> None:
    assert list((await _encode(await clip(audio=False))).data) == ["360p"]
    assert list((await _encode(await clip(video=False))).data) == ["audio"]


async def test_the_first_fragments_come_soon(clip: Encode) -> None:
    output = await _encode(await clip(size="1280x720", seconds=4), paced=True)
    print(f"first bytes after {output.first}")
    # Half a second on a quiet machine; half of the clip tells it from an FFmpeg that waits for all of it.
    assert max(output.first.values()) < 2.0


async def test_a_killed_ffmpeg_says_so(clip: Encode) -> None:
    plan_source = SourceProbe()
    for message in _messages(await clip()):
        plan_source.observe(message, 0)
    source = plan_source.source
    plan = RunPlan(source, plan_rungs(load_ladder(ladder_path("default")), source), _X264, 2.0, 0.25)
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
