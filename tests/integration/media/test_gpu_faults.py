"""Every way in which a GPU is not there or fails ends in a playing stream, or in a clean refusal.

No host of these tests has a GPU. Where NVENC has to have encoded before it fails, x264 takes its place at the
last step (`swapped_ffmpeg`): all that we do around NVENC is what a host with a GPU does, and what a GPU does
is not shown. What FFmpeg says of NVENC where none is (`real`, `absent`) is the real FFmpeg's word; of a
driver that is too old, of sessions and of lost GPUs it is the recorded one of
tests/unit/media/encode/test_gpu_faults.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from appliance.errors import OperatorError
from appliance.media.encode.encoder_memory import SHARED
from appliance.media.encode.gpu_marks import GpuMarks, Mark, read_marks
from appliance.media.encode.gpus import GpuId
from tests.integration.media import swapped_ffmpeg
from tests.support.stub_backend import StubBackend, answer
from tests.unit.media.encode.test_gpu_faults import FALLEN, OLD_DRIVER, SESSIONS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.integration.media.conftest import Encode
    from tests.integration.media.stage import Stage

GOES_ON_SECONDS = 5.0
ONE = GpuId("GPU-5ae2b4d1-0004-0004-0004-000000000004", 1)


@dataclass
class GpuHost:
    """A host whose FFmpeg is `swapped_ffmpeg`, and what its streams share."""

    shared: Path
    program: Path

    @property
    def ffmpeg(self) -> str:
        return str(self.program)

    @property
    def marks(self) -> list[Mark]:
        return read_marks(self.shared)

    def say(self, of: str, text: str = "") -> None:
        """What becomes of NVENC's commands from now on, see `swapped_ffmpeg`."""
        self.program.with_name(of).write_text(text, encoding="utf-8")

    def unsay(self, of: str) -> None:
        self.program.with_name(of).unlink()

    def lose(self) -> None:
        """The GPU is gone: nothing encodes with it from now on."""
        self.say("says-trial", FALLEN)
        self.say("says-run", FALLEN)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuHost:
    shared, program = tmp_path / SHARED, tmp_path / "bin" / "ffmpeg"
    shared.mkdir()
    program.parent.mkdir()
    shutil.copy(swapped_ffmpeg.__file__, program)
    program.chmod(0o755)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(shared))
    return GpuHost(shared, program)


def _encoder(stage: Stage, family: str) -> Callable[[], bool]:
    return lambda: (stage.status.get("encoder") or {}).get("family") == family


async def _plays(stage: Stage, *, segments: int = 2) -> None:
    await stage.until(lambda: stage.published.count("360p") >= segments)
    assert {"360p", "audio"} <= set(stage.published.renditions)


async def _goes_on(stage: Stage) -> None:
    """Waits for the first part behind a discontinuity; fails when that takes too long."""

    def part() -> bool:
        return "#EXT-X-PART:" in stage.published.playlist("360p").partition("#EXT-X-DISCONTINUITY\n")[2]

    took = await stage.until(part)
    print(f"the first part by x264 {took:.2f} s after the GPU failed")
    assert took < GOES_ON_SECONDS


@pytest.mark.parametrize(
    ("says", "text", "why"),
    [
        ("real", "", "no NVIDIA driver is installed (Cannot load libcuda.so.1)"),
        ("absent", "", "this FFmpeg was built without NVENC (Unknown encoder 'h264_nvenc_absent')"),
        ("says-trial", OLD_DRIVER, "the driver is too old for this FFmpeg (Driver does not support"),
        ("says-trial", FALLEN, "the driver does not say what the GPU has"),
    ],
)
async def test_without_a_gpu_that_encodes_a_stream_plays_by_x264_or_is_refused(  # noqa: PLR0917 - fixtures
    stage: Stage, clip: Encode, host: GpuHost, says: str, text: str, why: str
) -> None:
    path = await clip(seconds=20)
    host.say(says, text)
    with pytest.raises(
        OperatorError, match="encoder: nvenc is set, and h264_nvenc does not work on this host"
    ):
        async with stage.session(ffmpeg=host.ffmpeg, encoder="nvenc") as task:
            await task
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        await stage.publish(path)
        await _plays(stage)
        await stage.until(_encoder(stage, "x264"))
        encoder = stage.status["encoder"]
        assert encoder["reason"].startswith(f"NVENC does not work here: {why}")
        assert stage.status["run"] == 1
    assert host.marks == [], "it never did encode, so nothing has failed"


async def test_a_full_gpu_leaves_a_stream_to_the_cpu_and_is_asked_by_the_next(
    stage: Stage, clip: Encode, host: GpuHost
) -> None:
    path = await clip(seconds=20)
    host.say("says-run", SESSIONS)
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        publisher = await stage.publish(path)
        await _plays(stage)
        encoder = stage.status["encoder"]
        assert (encoder["family"], encoder["fault"]) == ("x264", "full")
        assert "the driver lets no more encodes be open at once" in encoder["reason"]
        assert stage.status["run"] == 2, "one try, and one that plays"
        assert host.marks == [], "a GPU that is full is well"
        host.unsay("says-run")
        publisher.kill()
        await publisher.wait()
        await stage.until(lambda: stage.status["state"] == "waiting")
        await stage.publish(path)
        await stage.until(_encoder(stage, "nvenc"))
        await stage.until_run(1)


@pytest.mark.parametrize("fails", [signal.SIGSEGV, signal.SIGSTOP])
async def test_a_gpu_that_falls_off_in_mid_stream_gives_way_within_five_seconds(
    stage: Stage, clip: Encode, host: GpuHost, fails: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was GPU 1 of those that the control service knows; the encoder dies, or makes no picture more."""
    path = await clip(seconds=30)
    monkeypatch.setattr("appliance.media.encode.planning.NVIDIA_DEVICE", host.shared)
    body = json.dumps({"placement": {"gpu": asdict(ONE), "reason": "GPU 1 has room"}}).encode()
    async with (
        StubBackend([answer(200, body)]).listening() as control,
        stage.session(ffmpeg=host.ffmpeg, control_url=control.url, grace_seconds=10.0),
    ):
        await stage.publish(path, loop=True)
        await _plays(stage, segments=3)
        assert (stage.status["encoder"]["family"], stage.status["encoder"]["gpu"]) == ("nvenc", asdict(ONE))
        seen = psutil.Process(stage.status["ffmpeg_pid"]).environ()
        assert seen["CUDA_VISIBLE_DEVICES"] == ONE.uuid, "it sees no other GPU"
        host.lose()
        os.kill(stage.status["ffmpeg_pid"], fails)
        await _goes_on(stage)
        await stage.until_run(1)
        assert stage.published.playlist("360p").count("#EXT-X-DISCONTINUITY\n") == 1
        assert stage.status["run"] == 2, "nothing was tried in between"
        encoder = stage.status["encoder"]
        assert (encoder["family"], encoder["instead_of"]) == ("x264", asdict(ONE))
        await stage.until(lambda: host.marks)
        assert [(mark.gpu, mark.tries) for mark in host.marks] == [(ONE, 1)]
        assert host.marks[0].reason.startswith("the driver does not say what the GPU has")


async def test_a_driver_that_holds_a_killed_ffmpeg_holds_no_stream(
    stage: Stage, clip: Encode, host: GpuHost
) -> None:
    path = await clip(seconds=30)
    host.say("clings")
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        await stage.publish(path, loop=True)
        await _plays(stage, segments=3)
        host.lose()
        os.kill(stage.status["ffmpeg_pid"], signal.SIGSTOP)
        await _goes_on(stage)
        await stage.until_run(1)
        assert stage.status["last_ending"].startswith("hung: nothing came out for ")
        assert stage.status["run"] == 2
        os.kill(int(host.program.with_name("clings").read_text(encoding="utf-8")), signal.SIGKILL)
        await asyncio.sleep(0.2)


async def test_a_stream_of_a_gpu_that_another_has_marked_leaves_it_when_its_ffmpeg_is_killed(
    stage: Stage, clip: Encode, host: GpuHost
) -> None:
    path = await clip(seconds=30)
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        await stage.publish(path, loop=True)
        await _plays(stage, segments=3)
        GpuMarks(host.shared).put(None, "another stream has seen it")
        os.kill(stage.status["ffmpeg_pid"], signal.SIGKILL)
        await _goes_on(stage)
        await stage.until(_encoder(stage, "x264"))
        assert "another stream has seen it" in stage.status["encoder"]["reason"]


async def test_an_ffmpeg_that_an_operator_kills_stays_on_its_gpu(
    stage: Stage, clip: Encode, host: GpuHost
) -> None:
    path = await clip(seconds=30)
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        await stage.publish(path, loop=True)
        await _plays(stage, segments=3)
        os.kill(stage.status["ffmpeg_pid"], signal.SIGKILL)
        await _goes_on(stage)
        await stage.until_run(1)
        assert stage.status["encoder"]["family"] == "nvenc"
        assert host.marks == []


async def test_a_gpu_that_works_again_gets_the_next_publisher(
    stage: Stage, clip: Encode, host: GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = await clip(seconds=30)
    monkeypatch.setattr("appliance.media.encode.gpu_marks.FIRST_PAUSE_S", 1.0)
    monkeypatch.setattr("appliance.media.encode.planning._MARKS_S", 0.5)
    async with stage.session(ffmpeg=host.ffmpeg, grace_seconds=10.0):
        publisher = await stage.publish(path, loop=True)
        await _plays(stage)
        host.lose()
        os.kill(stage.status["ffmpeg_pid"], signal.SIGSEGV)
        await stage.until_run(1, segments=1)
        await stage.until(lambda: [mark for mark in host.marks if mark.tries >= 2])
        host.unsay("says-trial")
        host.unsay("says-run")
        await stage.until(lambda: not host.marks)
        await asyncio.sleep(0.6)
        assert stage.status["encoder"]["family"] == "x264", "who plays stays"
        publisher.kill()
        await publisher.wait()
        await stage.until(lambda: stage.status["state"] == "waiting")
        await stage.publish(path)
        await stage.until(_encoder(stage, "nvenc"))
        await stage.until_run(2, segments=1)
