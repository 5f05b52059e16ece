"""Which rungs a source gets, whatever its size."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.media.codec.codec_config import VideoConfig
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.source import Source

DEFAULT = load_ladder(ladder_path("default"))


def _source(width: int, height: int, fps: float = 30, aspect: Fraction = Fraction(1)) -> Source:
    rate = Fraction(fps).limit_denominator(1001)
    return Source(VideoConfig(100, 40, width, height, aspect, rate), None, rate)


@pytest.mark.parametrize(
    ("source", "sizes"),
    [
        (_source(1920, 1080), [(1920, 1080), (1280, 720), (854, 480), (640, 360)]),
        (_source(3840, 2160), [(1920, 1080), (1280, 720), (854, 480), (640, 360)]),
        (_source(1280, 720), [(1280, 720), (854, 480), (640, 360)]),
        (_source(1366, 768), [(1280, 720), (854, 480), (640, 360)]),
        (_source(1600, 900), [(1600, 900), (1280, 720), (854, 480), (640, 360)]),
        (_source(1920, 800), [(1920, 800), (1280, 534), (854, 356), (640, 266)]),
        (_source(1080, 1920), [(1080, 1920), (720, 1280), (480, 854), (360, 640)]),
        (_source(320, 180), [(320, 180)]),
        (_source(641, 361), [(640, 360)]),
        # 16:11 pixels: 720x576 is shown as 1047x576.
        (_source(720, 576, aspect=Fraction(16, 11)), [(1046, 576), (854, 470), (640, 352)]),
    ],
)
def test_sizes(source: Source, sizes: list[tuple[int, int]]) -> None:
    assert [(rung.width, rung.height) for rung in plan_rungs(DEFAULT, source)] == sizes


@pytest.mark.parametrize(
    ("fps", "rates"),
    [(25, [25, 25]), (30, [30, 30]), (29.97, [29.97, 29.97]), (50, [50, 25]), (60, [60, 30]),
     (59.94, [59.94, 29.97]), (30.3, [30.3, 30.3]), (120, [60, 30]), (48, [48, 24])],
)  # fmt: skip
def test_frame_rates(fps: float, rates: list[float]) -> None:
    planned = plan_rungs(DEFAULT, _source(1280, 720, fps))
    assert [round(rung.fps, 2) for rung in (planned[0], planned[-1])] == rates


@given(st.integers(16, 4096), st.integers(16, 4096), st.sampled_from([24, 25, 29.97, 30, 50, 60, 144]))
def test_never_larger_never_odd_never_faster(width: int, height: int, fps: float) -> None:
    planned = plan_rungs(DEFAULT, _source(width, height, fps))
    assert planned
    names = [rung.name for rung in planned]
    assert len(set(names)) == len(names)
    areas = [rung.width * rung.height for rung in planned]
    assert areas == sorted(set(areas), reverse=True)
    for rung in planned:
        assert rung.width % 2 == rung.height % 2 == 0
        assert rung.width <= width
        assert rung.height <= height
        assert rung.fps <= min(fps, 60 * 1.02) + 0.01
        assert rung.video_kbps <= rung.peak_kbps
        # One line is lost to evenness at most, on either side.
        assert abs(rung.width * height - rung.height * width) <= 2 * max(width, height)


def test_no_picture_no_rungs() -> None:
    assert plan_rungs(DEFAULT, Source(None, None)) == ()
