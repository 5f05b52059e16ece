"""When a source is a rung by itself, and what it must keep to stay one."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest

from appliance.cli.ladder import parse_source
from appliance.media.codec.codec_config import VideoConfig
from appliance.media.encode.copying import CopyWatch, with_copy
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import PlannedRung, plan_rungs
from appliance.media.encode.source import Source
from tests.unit.media.encode.messages import frame, keyframe, sound

_DEFAULT = load_ladder(ladder_path("default"))
_HD = VideoConfig(100, 40, 1280, 720)


def _try(video: VideoConfig, fps: float = 30, kbps: float | None = None) -> tuple[list[PlannedRung], str]:
    source = Source(video, None, Fraction(fps))
    rungs, reason = with_copy(plan_rungs(_DEFAULT, source), source, kbps)
    return [rung for rung in rungs if rung.copied], reason or ""


def test_a_source_of_a_rungs_size_is_copied() -> None:
    for width, height in ((1920, 1080), (1280, 720), (640, 360), (320, 180), (1600, 900), (720, 1280)):
        copied, reason = _try(replace(_HD, width=width, height=height))
        assert [(rung.width, rung.height) for rung in copied] == [(width, height)], reason
    assert [rung.name for rung in _try(_HD, kbps=3080)[0]] == ["720p"]


@pytest.mark.parametrize(
    ("video", "fps", "kbps", "reason"),
    [
        (replace(_HD, profile=110), 30, None, "its profile is High 10"),
        (replace(_HD, profile=122), 30, None, "its profile is High 4:2:2"),
        (replace(_HD, level=51), 30, None, "its level is 5.1, allowed is at most 4.2"),
        (replace(_HD, interlaced=True), 30, None, "it is interlaced"),
        (replace(_HD, sample_aspect=Fraction(4, 3)), 30, None, "its size is 1280x720"),
        (replace(_HD, width=1366, height=768), 30, None, "its size is 1366x768, the rung's 1280x720"),
        (replace(_HD, width=2560, height=1440), 30, None, "the rung's 1920x1080"),
        (_HD, 120, None, "it has 120 frames a second, the rung 60"),
        (_HD, 30, 3900, "its bitrate is 3900 kb/s, the rung's peak 3080 kb/s"),
    ],
)
def test_what_does_not_fit_is_encoded_and_said(
    video: VideoConfig, fps: float, kbps: float | None, reason: str
) -> None:
    copied, said = _try(video, fps, kbps)
    assert copied == []
    assert reason in said


def test_without_pictures_there_is_nothing_to_copy() -> None:
    source = parse_source("audio")
    assert with_copy((), source, None) == ((), "it has no pictures")


def _watch() -> CopyWatch:
    return CopyWatch(Fraction(22, 10))


def test_keyframes_in_time_keep_it_copied() -> None:
    watch = _watch()
    for at in range(0, 60_000, 40):
        watch.observe(keyframe(at) if at % 2200 == 0 else frame(at))
        watch.observe(sound(at))
    assert watch.misfit is None


def test_the_frame_after_which_a_keyframe_is_missing_ends_it() -> None:
    watch = _watch()
    watch.observe(keyframe(2**32 - 1000))
    for at in range(-960, 1201, 40):
        watch.observe(frame(at % 2**32))
        assert watch.misfit is None
    watch.observe(frame(1240))
    assert watch.misfit == "its keyframes are more than 2.2 s apart"
    for at in range(2000, 60_000, 500):
        watch.observe(keyframe(at))
    assert watch.misfit is not None


def test_keyframes_that_others_depend_on_end_it() -> None:
    watch = _watch()
    watch.observe(keyframe(0, unit=1))
    assert watch.misfit == "its keyframes need pictures before them (open GOP)"


def test_the_bitrate_is_that_of_the_last_five_seconds() -> None:
    watch = _watch()
    assert watch.kbps() is None
    for at in range(0, 20_000, 40):
        watch.observe((keyframe if at % 2000 == 0 else frame)(at, size=5000))
        assert at >= 4500 or watch.kbps() is None
    assert watch.kbps() == pytest.approx(1000, rel=0.03)
    for at in range(20_000, 24_000, 40):
        watch.observe((keyframe if at % 2000 == 0 else frame)(at, size=20_000))
    assert watch.kbps() == pytest.approx(3400, rel=0.05)


def test_a_jump_is_no_distance_of_keyframes() -> None:
    watch = _watch()
    watch.observe(keyframe(0))
    watch.pause()
    watch.observe(frame(100_000))
    watch.observe(keyframe(100_040))
    assert watch.misfit is None
    assert watch.kbps() is None
