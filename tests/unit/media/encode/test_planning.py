"""What a run is made of, after what did not work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from appliance.cli.ladder import parse_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.placement import Placed
from appliance.media.encode.planning import RunPlanner
from appliance.settings import Settings
from tests.unit.media.encode.messages import frame, keyframe

_SOURCE = parse_source("1280x720@30")
_NVENC = EncoderChoice("nvenc", "NVENC has encoded a frame")


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


async def test_a_gpu_that_fails_soon_decodes_no_more_and_then_encodes_no_more() -> None:
    planner = _planner()
    planner.encoder = _NVENC
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.gpu_decodes
    planner.encoder_failed(plan, "exit status 1", soon=True)
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert (plan.encoder, plan.gpu_decodes) == (_NVENC, False)
    planner.encoder_failed(plan, "exit status 1", soon=True)
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    assert plan.encoder.family == "x264"
    assert plan.encoder.reason == "NVENC failed in this stream: exit status 1"
    planner.reset()
    assert planner.encoder is None


async def test_a_gpu_that_fails_in_mid_life_is_asked_again() -> None:
    planner = _planner()
    planner.encoder = _NVENC
    plan = await planner.plan(_SOURCE, declared_kbps=None, begin_s=0)
    planner.encoder_failed(plan, "killed by SIGSEGV", soon=False)
    assert planner.encoder is None


async def test_a_stream_encodes_where_it_was_let_in_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The control service says so for each publisher; only a host with an NVIDIA device asks."""
    ffmpeg, device = tmp_path / "ffmpeg", tmp_path / "nvidiactl"
    ffmpeg.write_text("#!/bin/sh\nexit 0\n")
    ffmpeg.chmod(0o755)
    answers: list[Placed | None] = [Placed(1, "GPU 1 has room"), Placed(None, "the GPUs are full"), None]

    async def place() -> Placed | None:
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
    assert (plan.encoder.family, plan.encoder.gpu) == ("nvenc", 1)
    assert (await one.choose_encoder()).gpu == 1, "asked once for a publisher"
    one.reset()
    encoder = await one.choose_encoder()
    assert (encoder.family, encoder.reason) == ("x264", "the GPUs are full")
    one.reset()
    assert await one.choose_encoder() == _NVENC
    one.reset()
    assert not answers
