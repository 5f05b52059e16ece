"""A browser watches for two minutes while keys change, the encoder comes again and a rung is given up."""

from __future__ import annotations

import statistics
from itertools import pairwise

import pytest

from tests.support import lip_sync
from tests.support.browser import Seen
from tests.support.long_watch import SENT, WATCH_SECONDS, LongWatch
from tests.support.pictures import BITS

ROTATIONS = 5
MOST_STALLED_SECONDS = 15.0
"""In all. The encoder is away for three or four seconds, the picture after it has to come from a keyframe,
and the rung that is given up takes its viewers' buffer along."""


def test_no_error_is_fatal(long_watch: LongWatch) -> None:
    assert long_watch.early.fatal == []
    assert long_watch.late.fatal == []


def test_it_was_watched_for_long_enough(long_watch: LongWatch) -> None:
    shown = long_watch.early.shown
    player = f"{long_watch.early.errors} {long_watch.early.state}\n{long_watch.said}"
    assert shown[-1].at - shown[0].at > WATCH_SECONDS * 0.95, player
    assert len(shown) > SENT.fps * WATCH_SECONDS * 0.7


def test_it_says_how_long_it_stalled(long_watch: LongWatch) -> None:
    seen = long_watch.early
    stalled = seen.waited() + long_watch.waiting
    print(
        f"stalled for {stalled:.2f} s in all, {seen.waited(long_watch.reconnected):.2f} s of it after "
        f"the change of encoders; the longest picture stood for {seen.longest_still():.2f} s; "
        f"{len(seen.errors)} errors that were not fatal: {sorted(set(seen.errors))}"
    )
    assert stalled < MOST_STALLED_SECONDS


def test_pictures_go_on_rising(long_watch: LongWatch) -> None:
    """But where a number comes round, and where the second encoder begins at 0."""
    backwards = [
        (before, after)
        for before, after in pairwise(long_watch.early.shown)
        if after.number < before.number and before.number - after.number < (1 << BITS) - 100
    ]
    assert len(backwards) <= 1, backwards
    for _, after in backwards:
        assert after.number < 100
        assert after.at > long_watch.reconnected


def test_keys_really_differ(long_watch: LongWatch) -> None:
    fetched = {url.rpartition("/")[2] for url in long_watch.early.keys}
    assert len(fetched) > ROTATIONS, fetched


def test_a_rung_that_is_given_up_is_left(long_watch: LongWatch) -> None:
    heights = long_watch.early.heights
    assert SENT.height in heights, heights
    assert heights[-1] < SENT.height, heights


@pytest.fixture(scope="session")
def source_offset(long_watch: LongWatch, tmp_path_factory: pytest.TempPathFactory) -> float:
    """Sound after picture in the source, as this browser plays it, s."""
    own = lip_sync.own_offset_in_browser(long_watch.source, tmp_path_factory.mktemp("source"))
    print(f"source: {_text(own)}; in the file {1000 * lip_sync.own_offset(long_watch.source):+.0f} ms")
    return statistics.median(own)


def _text(offsets: list[float]) -> str:
    return (
        f"sound after picture {1000 * statistics.median(offsets):+.0f} ms "
        f"({1000 * min(offsets):+.0f} to {1000 * max(offsets):+.0f}, {len(offsets)} beeps)"
    )


def _near(name: str, offsets: list[float], source: float) -> None:
    print(f"{name}: {_text(offsets)}")
    assert len(offsets) >= 3
    assert abs(statistics.median(offsets) - source) < lip_sync.MOST_SECONDS


def test_sound_fits_the_picture_at_the_start(long_watch: LongWatch, source_offset: float) -> None:
    first = long_watch.early.shown[0].at
    _near("at the start", lip_sync.offsets(long_watch.early, first, first + 12), source_offset)


def test_sound_fits_the_picture_after_joining_between_keyframes(
    long_watch: LongWatch, source_offset: float
) -> None:
    _near("joined", lip_sync.offsets(long_watch.late), source_offset)


def test_sound_fits_the_picture_after_a_reconnect(long_watch: LongWatch, source_offset: float) -> None:
    since = _second_encoder(long_watch.early, long_watch.reconnected)
    _near("after a reconnect", lip_sync.offsets(long_watch.early, since, since + 16), source_offset)


def _second_encoder(seen: Seen, reconnected: float) -> float:
    return next(
        after.at
        for before, after in pairwise(seen.shown)
        if after.at > reconnected and after.number < before.number
    )
