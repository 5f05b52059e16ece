"""How fast FFmpeg is, by what it leaves lying."""

from __future__ import annotations

import pytest

from appliance.media.encode.pace import Pace


def _live(pace: Pace, seconds: float, rate: float, *, begun: float = 0, stalls: bool = False) -> None:
    """Gives 25 frames of 1000 bytes a second, of which `rate` are taken."""
    for tick in range(int(seconds * 25)):
        now = begun + tick / 25
        if not stalls:
            pace.give(1000, round(1000 * now))
        if tick % 12 == 0:
            given = tick if not stalls else 0
            pace.sample(now, round(given * (1 - rate)) * 1000)


@pytest.mark.parametrize(("rate", "slow"), [(1.0, False), (0.98, False), (0.8, True), (0.5, True)])
def test_it_is_slow_below_real_time(rate: float, slow: bool) -> None:
    pace = Pace()
    _live(pace, 8, rate)
    assert not pace.slow(0.97)
    pace = Pace()
    _live(pace, 30, rate)
    assert pace.slow(0.97) is slow
    assert pace.speed == pytest.approx(rate, abs=0.05)


def test_a_source_that_pauses_is_no_slow_encoder() -> None:
    pace = Pace()
    _live(pace, 12, 1.0)
    _live(pace, 12, 1.0, begun=12, stalls=True)
    assert pace.speed is None
    assert not pace.slow(0.97)


def test_a_hiccup_is_not_slowness() -> None:
    pace = Pace()
    _live(pace, 12, 1.0)
    pace.give(1000, 12_000)
    pace.sample(12.0, 15_000)
    assert pace.behind_s == pytest.approx(0.5, abs=0.1)
    assert not pace.slow(0.97)


def test_a_stall_of_seconds_that_ends_is_not_slowness() -> None:
    pace = Pace()
    _live(pace, 12, 1.0)
    stalled = 0
    for tick in range(25 * 12):
        now = 12 + tick / 25
        pace.give(1000, round(1000 * now))
        # four seconds in which nothing is taken, then a second and a half to make up for it
        stalled = stalled + 1 if tick < 100 else max(0, stalled - 2)
        if tick % 12 == 0:
            pace.sample(now, 1000 * stalled)
            assert not pace.slow(0.97), f"after {now:.1f} s"
    assert pace.behind_s < 0.6


def test_nothing_is_known_at_first() -> None:
    pace = Pace()
    pace.sample(0.0, 0)
    assert pace.speed is None
    assert pace.behind_s == 0.0
