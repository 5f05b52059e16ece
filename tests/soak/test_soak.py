"""A stream for as long as one likes: its encoder drops out each minute, its key changes, somebody watches.

SOAK_MINUTES says how long (60 when not set). Prints a table and draws `.cache/soak.svg`. What is said to be
flat is judged by a straight line through the last two thirds of its samples (`growth`).
"""

from __future__ import annotations

import os
import re
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.soak.host import places_of
from tests.soak.recording import (
    AWAY_SECONDS,
    CONNECTED_SECONDS,
    ROTATION_SECONDS,
    SAMPLE_SECONDS,
    SENT,
    STREAM,
    Costs,
    Encoder,
    Ivs,
    Rotations,
)
from tests.soak.result import Soak, growth
from tests.support import lip_sync, pictures, player
from tests.support.browser import LOW_LATENCY, Viewer
from tests.support.playlists import Multivariant
from tests.support.site import STREAMS, Site, provisioned

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
OTHER_STREAM = STREAMS[1]
MOST_GROWTH = 0.10
"""What the line through the last two thirds of the samples may rise by, against their mean."""
MOST_GROWTH_MB = 2.0
"""Less than that is no growth of memory, however small the process: an allocator takes it at a time."""
FEWEST_MINUTES = 10.0
"""A shorter soak is no ground to call anything flat."""


def decrypted_skew(folder: Path, listed: Multivariant) -> float:
    """Return how far sound is behind its picture in the newest run, by flashes and beeps, seconds."""
    assert listed.audio_url is not None
    url = listed.heights[max(listed.heights)].url
    video = player.media(url)
    breaks = [segment.number for segment in video.segments if segment.discontinuity]
    numbers = range(max([*breaks, video.segments[-5].number]), video.last + 1)
    player.wait_for_number(listed.audio_url, numbers[-1])
    picture = player.record(url, folder / "video", numbers)
    sound = player.record(listed.audio_url, folder / "audio", numbers)
    flashes = pictures.flashes(pictures.read_pictures(picture.files[-1]))
    skews = pictures.skews(flashes, pictures.beeps(sound.files[-1]))
    assert skews, "no flash with a beep was found"
    return max(skews, key=abs)


def open_to_others(site: Site, key_url: str) -> list[str]:
    """Return where delivery answers for a key of STREAM, but at the key's own address.

    The id is answered for another stream as well, which this host may not package, with a key of its own.
    """
    kid = key_url.rpartition("/")[2]
    epoch = re.findall(rf"{STREAM}/([a-z0-9]+)/", player.get(site.hls(STREAM)).body.decode())[0]
    made_up = kid[:-1] + ("0" if kid[-1] != "0" else "1")
    paths = [
        f"/keys/{STREAM}/{kid}", f"/hls/{STREAM}/{kid}", f"/hls/{STREAM}/{epoch}/{kid}", f"/hls/keys/{kid}",
        f"/hls/{STREAM}/keys/", f"/hls/{STREAM}/keys/{made_up}",
        f"/hls/{STREAM}/keys/{kid}.key", f"/hls/{STREAM}/state.json", f"/hls/{STREAM}/status.json",
    ]  # fmt: skip
    found = [path for path in paths if player.get(site.http(path)).status == 200]
    others = f"/hls/{OTHER_STREAM}/keys/{kid}"
    return found + [others] * (player.get(site.http(others)).body == player.get(key_url).body)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Give a provisioned host."""
    with provisioned() as host:
        yield host


@pytest.fixture(scope="module")
def soak(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Soak:
    """Do it all, print what came of it and draw it."""
    folder = tmp_path_factory.mktemp("soak")
    encoder = Encoder(site.rtmp(STREAM))
    with Viewer(site.hls(STREAM), LOW_LATENCY, sound=True) as viewer, encoder.running():
        listed = player.wait_for(site.hls(STREAM), segments=6)
        first = decrypted_skew(folder / "first", listed)
        ivs = Ivs(listed)
        with Costs(site) as costs, Rotations(site) as rotations, ivs:
            while time.time() < costs.began + 60 * MINUTES:
                seen = viewer.watch(SAMPLE_SECONDS)
        _wait_for_the_middle(encoder)
        last = decrypted_skew(folder / "last", listed)
        keys = list(ivs.keys)[-3:]
        answers = [player.get(url) for url in keys]
        assert [answer.status for answer in answers] == [200] * len(keys)
        readable = places_of(site, [answer.body for answer in answers])
        readable += [path for url in keys for path in open_to_others(site, url)]
    done = Soak(
        MINUTES,
        seen,
        ivs,
        costs,
        rotations.count,
        len(encoder.publishers),
        encoder.made(),
        (first, last),
        readable,
    )
    done.draw()
    done.print()
    return done


def _wait_for_the_middle(encoder: Encoder) -> None:
    """Wait until the present connection has lasted for twenty seconds, or the next one has."""
    while not 20 < len(encoder.publishers[-1].made_at) / SENT.fps < CONNECTED_SECONDS - 15:
        time.sleep(1)


def test_no_error_is_fatal(soak: Soak) -> None:
    assert soak.seen.fatal == []


def test_somebody_saw_all_of_it(soak: Soak) -> None:
    away = 60 * MINUTES / (CONNECTED_SECONDS + AWAY_SECONDS) * 2 * AWAY_SECONDS
    assert soak.seen.shown[-1].at > soak.costs.began + 60 * MINUTES - SAMPLE_SECONDS
    assert len(soak.seen.shown) > 0.7 * SENT.fps * (60 * MINUTES - away)


def test_no_iv_comes_twice(soak: Soak) -> None:
    assert soak.ivs.repeated == []
    assert soak.ivs.unanswered < 0.05 * len(soak.ivs.urls) * 60 * MINUTES
    assert soak.rotations >= 0.8 * 60 * MINUTES / ROTATION_SECONDS
    assert len(soak.ivs.keys) >= 0.8 * soak.rotations


def test_sound_fits_the_picture(soak: Soak) -> None:
    assert max(map(abs, soak.decrypted)) < lip_sync.MOST_SECONDS
    first, later = soak.skew(0), soak.skew(soak.later)
    assert first is not None
    assert later is not None
    assert abs(later - first) < lip_sync.MOST_SECONDS


def test_no_key_is_readable(soak: Soak) -> None:
    assert soak.readable == []


def test_memory_and_files_do_not_grow(soak: Soak) -> None:
    if MINUTES < FEWEST_MINUTES:
        pytest.skip(f"{MINUTES:g} minutes say nothing of growth; {FEWEST_MINUTES:g} do")
    grown = {}
    for name, line in soak.costs.memory().items():
        if (rise := growth(line)) > MOST_GROWTH_MB:
            grown[name] = rise / statistics.mean(value for _, value in line)
    grown["files"] = growth(soak.files) / statistics.mean(value for _, value in soak.files)
    assert {name: share for name, share in grown.items() if share > MOST_GROWTH} == {}
