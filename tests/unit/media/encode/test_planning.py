"""What a run is made of, after what did not work."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.cli.ladder import parse_source
from appliance.errors import OperatorError
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.encoder_memory import SHARED
from appliance.media.encode.ffmpeg import Ending
from appliance.media.encode.gpu_faults import GpuFault
from appliance.media.encode.gpu_marks import GpuMarks, Mark, read_marks
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.placement import Placement
from appliance.media.encode.planning import RunPlanner
from appliance.settings import Settings
from tests.unit.media.capacity.measured import gpu_id
from tests.unit.media.encode.messages import frame, keyframe

if TYPE_CHECKING:
    from appliance.media.encode.command import RunPlan
    from appliance.media.encode.gpus import GpuId

ZERO, ONE = gpu_id(0), gpu_id(1)
_SOURCE = parse_source("1280x720@30")
_NVENC = EncoderChoice("nvenc", "NVENC has encoded a frame")
_EXIT = Ending("exit status 1", 1)


def _planner(**settings: Any) -> RunPlanner:
    planner = RunPlanner(Settings(**settings), load_ladder(ladder_path("default")))
    planner.encoder = EncoderChoice("x264", "test")
    return planner


async def _text(planner: RunPlanner) -> str:
    return (await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)).text


async def test_a_fitting_source_is_copied_unless_the_setting_forbids_it() -> None:
    assert (await _text(_planner())).startswith("720p 1280x720 copied, ")
    assert "copied" not in await _text(_planner(copy_source="never"))


async def test_what_the_publisher_says_of_its_bitrate_counts_until_it_is_measured() -> None:
    plan = await _planner().plan(_SOURCE, declared_kbps=6000.0, begin_s=0)
    assert not plan.copies


async def test_what_was_once_no_rung_is_encoded_until_the_publisher_leaves(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO")
    planner = _planner()
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    for message in (keyframe(0), frame(2000)):
        planner.observe(message)
    assert planner.check_copy(plan) is None
    planner.observe(frame(2300))
    assert planner.check_copy(plan) == "its keyframes are more than 2.1 s apart"
    for at in range(4000, 20_000, 1000):
        planner.observe(keyframe(at))
    assert "copied" not in await _text(planner)
    assert "the source is not copied: its keyframes are more than 2.1 s apart" in caplog.text
    planner.reset()
    assert "copied" in await _text(planner)


async def test_a_bitrate_above_the_peak_for_seconds_ends_the_copy() -> None:
    planner = _planner()
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    for at in range(0, 6000, 40):
        planner.observe((keyframe if at % 2000 == 0 else frame)(at, size=20_000))
    reason = planner.check_copy(plan)
    assert reason is not None
    assert reason.endswith("kb/s, the rung's peak 3080 kb/s")


async def test_rungs_are_given_up_from_the_largest_on_but_never_the_smallest() -> None:
    planner = _planner()
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert planner.drop_rung(plan, 0.9) == "encoding ran at 0.90 of real time: the rung 480p is given up"
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.text == "720p 1280x720 copied, 360p 640x360"
    assert planner.drop_rung(plan, 0.9) is None
    planner.reset()
    assert planner.dropped == {}


async def test_without_a_copy_the_top_rung_is_given_up_first() -> None:
    planner = _planner(copy_source="never")
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    planner.drop_rung(plan, 0.9)
    assert await _text(planner) == "480p 854x480, 360p 640x360"


async def test_no_rung_is_given_up_where_the_setting_forbids_it(caplog: pytest.LogCaptureFixture) -> None:
    planner = _planner(drop_slow_rungs=False)
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    for _ in range(5):
        assert planner.drop_rung(plan, 0.9) is None
    assert caplog.text.count("encoding runs at 0.90 of real time, and no rung is given up") == 1


async def _on_gpu(planner: RunPlanner, gpu: GpuId | None = None) -> RunPlan:
    planner.encoder = replace(_NVENC, gpu=gpu)
    return await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)


async def test_a_gpu_that_fails_soon_decodes_no_more_and_then_encodes_no_more() -> None:
    planner = _planner()
    plan = await _on_gpu(planner)
    assert plan.gpu_decodes
    planner.encoder_failed(plan, _EXIT, [], soon=True)
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert (plan.encoder, plan.gpu_decodes) == (_NVENC, False)
    planner.encoder_failed(plan, _EXIT, [], soon=True)
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.encoder.family == "x264"
    assert plan.encoder.reason == "NVENC failed in this stream: exit status 1"
    await planner.close()
    planner.reset()
    assert planner.encoder is None


@pytest.mark.parametrize(
    ("said", "reason", "fault"),
    [
        ("OpenEncodeSessionEx failed: out of memory (10): (no details)", "the driver lets no more", "full"),
        ("cuInit(0) failed -> CUDA_ERROR_UNKNOWN: unknown error", "the driver does not say", "lost"),
        ("Cannot load libnvidia-encode.so.1", "the driver was installed without its encoder", "unfit"),
    ],
)
async def test_what_ffmpeg_says_of_a_gpu_ends_its_use_in_this_stream_at_once(
    said: str, reason: str, fault: str
) -> None:
    planner = _planner()
    plan = await _on_gpu(planner, ONE)
    planner.encoder_failed(plan, _EXIT, ["error while decoding MB 3 4", said], soon=True)
    encoder = planner.encoder
    assert encoder is not None
    assert (encoder.family, encoder.stands_in, encoder.instead_of) == ("x264", True, ONE)
    assert encoder.reason.startswith(f"NVENC failed in this stream: {reason}")
    assert encoder.fault is GpuFault(fault)
    await planner.close()


@pytest.mark.parametrize(
    "ending",
    [
        Ending("hung: nothing came out for 2 s", -9, given_up=True),
        Ending("killed by SIGSEGV", -11),
        Ending("exit status 1", 1),
    ],
)
async def test_a_gpu_that_fails_in_mid_life_gives_way_to_the_cpu(ending: Ending) -> None:
    planner = _planner()
    plan = await _on_gpu(planner)
    planner.encoder_failed(plan, ending, [], soon=False)
    assert planner.encoder is not None
    assert planner.encoder.family == "x264"
    assert planner.encoder.reason == f"NVENC failed in this stream: {ending.reason}"
    await planner.close()


async def test_a_gpu_on_which_a_run_hangs_soon_is_not_tried_once_more() -> None:
    planner = _planner()
    plan = await _on_gpu(planner)
    planner.encoder_failed(plan, Ending("hung: nothing came out for 6 s", -9, given_up=True), [], soon=True)
    assert planner.encoder is not None
    assert planner.encoder.family == "x264"
    await planner.close()


async def test_whom_somebody_has_killed_stays_on_its_gpu() -> None:
    planner = _planner()
    plan = await _on_gpu(planner, ONE)
    planner.encoder_failed(plan, Ending("killed by SIGKILL", -9, outside=True), [], soon=False)
    assert planner.encoder == plan.encoder


async def test_where_only_nvenc_may_encode_it_is_tried_anew() -> None:
    planner = _planner(encoder="nvenc")
    plan = await _on_gpu(planner)
    planner.encoder_failed(plan, _EXIT, [], soon=False)
    assert planner.encoder is None
    await planner.close()


@dataclass
class _GpuHost:
    """A host whose GPU encodes its trial's frame, or fails with what is written into `says`."""

    shared: Path
    says: Path

    def planner(self, **given: Any) -> RunPlanner:
        ladder = load_ladder(ladder_path("default"))
        planner = RunPlanner(Settings(), ladder, ffmpeg=str(self.shared / "ffmpeg"), **given)
        planner.encoder = EncoderChoice("x264", "test")
        return planner

    @property
    def marks(self) -> list[Mark]:
        return read_marks(self.shared)


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _GpuHost:
    shared, says = tmp_path / SHARED, tmp_path / "says"
    shared.mkdir()
    program = shared / "ffmpeg"
    program.write_text(f"#!/bin/sh\n[ ! -e {says} ] || {{ cat {says} >&2; exit 1; }}\n", encoding="utf-8")
    program.chmod(0o755)
    monkeypatch.setenv("RUNTIME_DIRECTORY", str(shared))
    return _GpuHost(shared, says)


async def test_a_gpu_is_marked_when_a_frame_shows_that_it_fails(host: _GpuHost) -> None:
    host.says.write_text("[h264_nvenc @ 0x1] cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: none\n")
    planner = host.planner()
    plan = await _on_gpu(planner, ONE)
    planner.encoder_failed(plan, Ending("killed by SIGSEGV", -11), [], soon=False)
    assert host.marks == []
    await planner.tried()
    [mark] = host.marks
    assert (mark.gpu, mark.reason[:25]) == (ONE, "the driver sees no GPU: i")


@pytest.mark.parametrize(
    "said",
    [
        "[h264 @ 0x1] decoder->cvdl->cuvidDecodePicture() failed -> CUDA_ERROR_UNKNOWN: unknown error",
        "[h264_cuvid @ 0x1] cuvidCreateDecoder() failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device",
        "[h264_nvenc @ 0x1] No capable devices found",
        "[h264_nvenc @ 0x1] EncodePicture failed!: device does not exist (5): (no details)",
    ],
)
async def test_what_ffmpeg_says_of_a_gpu_takes_it_from_nobody_else_while_it_encodes(
    host: _GpuHost, said: str
) -> None:
    """Any publisher can send what its decoder fails with, or a picture that is too large for the card."""
    planner = host.planner()
    plan = await _on_gpu(planner, ONE)
    planner.encoder_failed(plan, _EXIT, [said], soon=True)
    assert planner.encoder is not None
    assert planner.encoder.family == "x264", "at once"
    await planner.tried()
    assert host.marks == []
    host.says.write_text(said)
    planner.encoder_failed(plan, _EXIT, [said], soon=True)
    await planner.tried()
    assert [mark.gpu for mark in host.marks] == [ONE], "and now it does not"


@pytest.mark.parametrize("says", [None, "OpenEncodeSessionEx failed: out of memory (10): (no details)"])
async def test_a_source_that_breaks_ffmpeg_takes_no_gpu_from_others(
    host: _GpuHost, says: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    if says is not None:
        host.says.write_text(says)
    planner = host.planner()
    plan = await _on_gpu(planner, ONE)
    planner.encoder_failed(plan, _EXIT, ["error while decoding MB 3 4"], soon=False)
    await planner.tried()
    assert host.marks == []
    assert planner.encoder is not None
    assert planner.encoder.family == "x264", "this stream's GPU is not trusted"
    assert ("the GPU still encodes" in caplog.text) == (says is None)


async def test_other_streams_follow_and_new_ones_begin_with_the_cpu(host: _GpuHost) -> None:
    host.says.write_text("CUDA_ERROR_UNKNOWN")
    first, second = host.planner(), host.planner()
    plans = [await _on_gpu(planner, ZERO) for planner in (first, second)]
    first.encoder_failed(plans[0], _EXIT, ["CUDA_ERROR_UNKNOWN"], soon=False)
    await first.tried()
    assert len(host.marks) == 1
    second.encoder_failed(plans[1], Ending("killed by SIGKILL", -9, outside=True), [], soon=False)
    assert second.encoder is not None
    assert second.encoder.family == "x264"
    GpuMarks(host.shared).put(None, "all are gone")
    new = host.planner()
    new.encoder = None
    encoder = await new.choose_encoder()
    assert (encoder.family, encoder.reason) == ("x264", "the GPU has failed: all are gone")


async def test_a_stream_tries_a_gpu_again_and_stays_where_it_is(
    host: _GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.says.write_text("CUDA_ERROR_UNKNOWN")
    planner = host.planner()
    plan = await _on_gpu(planner, ZERO)
    planner.encoder_failed(plan, _EXIT, ["CUDA_ERROR_UNKNOWN"], soon=False)
    await planner.tried()
    now = host.marks[0].again_at
    monkeypatch.setattr("time.time", lambda: now)
    planner.tick(100.0)
    await planner.tried()
    [mark] = host.marks
    assert (mark.tries, mark.again_at) == (2, now + 60)
    host.says.unlink()
    now = mark.again_at
    planner.tick(104.0)
    await planner.tried()
    assert host.marks == [mark], "one has looked a moment ago"
    planner.tick(105.0)
    await planner.tried()
    assert host.marks == []
    assert planner.encoder is not None
    assert planner.encoder.family == "x264"
    planner.reset()
    assert planner.encoder is None, "its publisher may come to another place"


async def test_a_cpu_that_is_too_slow_gives_a_stream_back_once(
    host: _GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.says.write_text("CUDA_ERROR_UNKNOWN")
    planner = host.planner()
    failed = await _on_gpu(planner, ONE)
    planner.encoder_failed(failed, _EXIT, ["CUDA_ERROR_UNKNOWN"], soon=False)
    await planner.tried()
    host.says.unlink()
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert planner.drop_rung(plan, 0.9) == "encoding ran at 0.90 of real time: the rung 480p is given up"
    now = host.marks[0].again_at
    monkeypatch.setattr("time.time", lambda: now)
    planner.tick(100.0)
    await planner.tried()
    back = planner.drop_rung(plan, 0.9)
    assert back == "encoding ran at 0.90 of real time: back to the GPU, which works again"
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert (plan.encoder.family, plan.encoder.gpu) == ("nvenc", ONE)
    planner.encoder_failed(plan, _EXIT, [], soon=False)
    await planner.tried()
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.encoder.family == "x264"
    assert "back" not in (planner.drop_rung(plan, 0.9) or "")


async def test_who_was_sent_to_a_gpu_that_does_not_encode_says_so(
    host: _GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its driver is gone since it was measured: the next streams are not sent there."""
    device = host.shared / "nvidiactl"
    device.touch()
    monkeypatch.setattr("appliance.media.encode.planning.NVIDIA_DEVICE", device)
    program = host.shared / "ffmpeg"
    program.write_text('#!/bin/sh\ncase "$*" in *nvenc*) echo Cannot load libcuda.so.1 >&2; exit 1;; esac\n')

    async def place() -> Placement:
        return Placement(ONE, "GPU 1 has room")

    planner = host.planner(place=place)
    planner.encoder = None
    encoder = await planner.choose_encoder()
    assert (encoder.family, encoder.instead_of, encoder.fault) == ("x264", ONE, GpuFault.UNFIT)
    assert [mark.gpu for mark in host.marks] == [ONE]


async def test_a_stream_encodes_where_it_was_let_in_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control service says so for each publisher; only a host with an NVIDIA device asks."""
    ffmpeg, device = tmp_path / "ffmpeg", tmp_path / "nvidiactl"
    ffmpeg.write_text("#!/bin/sh\nexit 0\n")
    ffmpeg.chmod(0o755)
    answers: list[Placement | None] = [
        Placement(ONE, "GPU 1 has room"),
        Placement(None, "the GPUs are full"),
        None,
    ]

    async def place() -> Placement | None:
        return answers.pop(0)

    def planner() -> RunPlanner:
        ladder = load_ladder(ladder_path("default"))
        return RunPlanner(Settings(), ladder, place=place, ffmpeg=str(ffmpeg))

    monkeypatch.setattr("appliance.media.encode.planning.NVIDIA_DEVICE", device)
    nobody_asked = planner()
    assert await nobody_asked.choose_encoder() == _NVENC
    device.touch()
    one = planner()
    plan = await one.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert (plan.encoder.family, plan.encoder.gpu) == ("nvenc", ONE)
    assert (await one.choose_encoder()).gpu == ONE, "asked once for a publisher"
    one.reset()
    encoder = await one.choose_encoder()
    assert (encoder.family, encoder.reason) == ("x264", "the GPUs are full")
    one.reset()
    assert await one.choose_encoder() == _NVENC
    one.reset()
    assert not answers


async def test_where_only_nvenc_may_encode_a_stream_that_begins_tries_a_marked_gpu_again(
    host: _GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last stream's process is gone, and nobody else will: what is found is told to all."""
    clock = [1000.0]
    monkeypatch.setattr("time.time", lambda: clock[0])
    GpuMarks(host.shared).put(None, "gone")
    host.says.write_text("CUDA_ERROR_UNKNOWN")
    for clock[0], tries in ((1029.0, 1), (1030.0, 2), (1031.0, 2)):
        planner = RunPlanner(
            Settings(encoder="nvenc"), load_ladder(ladder_path("default")), ffmpeg=str(host.shared / "ffmpeg")
        )
        with pytest.raises(OperatorError, match="CUDA_ERROR_UNKNOWN"):
            await planner.choose_encoder()
        assert [mark.tries for mark in host.marks] == [tries]
    host.says.unlink()
    assert (await planner.choose_encoder()).family == "nvenc"
    assert host.marks == []


async def test_where_one_of_two_gpus_is_marked_a_stream_without_a_placement_takes_the_other(
    host: _GpuHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    device, program = host.shared / "nvidiactl", host.shared / "nvidia-smi"
    device.touch()
    program.write_text('#!/bin/sh\nfor n in 0 1; do echo "$n, GPU-$n, NVIDIA L4, 550.163.01, [N/A]"; done\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{host.shared}:/usr/bin:/bin")
    monkeypatch.setattr("appliance.media.encode.planning.NVIDIA_DEVICE", device)
    planner = host.planner()
    planner.encoder = None
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.encoder.gpu == ZERO
    planner.encoder_failed(plan, _EXIT, ["GPU is lost"], soon=False)
    assert [mark.gpu for mark in host.marks] == [ZERO], "nothing has to prove that"
    planner.reset()
    encoder = await planner.choose_encoder()
    assert (encoder.family, encoder.gpu) == ("nvenc", ONE)
    GpuMarks(host.shared).put(ONE, "gone, too")
    planner.reset()
    encoder = await planner.choose_encoder()
    assert (encoder.family, encoder.instead_of) == ("x264", ZERO)
