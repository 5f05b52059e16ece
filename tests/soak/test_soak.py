"""A stream for as long as one likes: its encoder drops out each minute, its key changes, somebody watches.

SOAK_MINUTES says how long (60 when not set). Prints a table and draws `.cache/soak.svg`.
"""

from __future__ import annotations

import math
import os
import statistics
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.soak.host import Sample, look, places_of
from tests.soak.plot import Panel, svg
from tests.support import pictures, player
from tests.support.browser import Seen, Viewer
from tests.support.encoder import ClockedPublisher, Signal
from tests.support.playlists import Multivariant
from tests.support.poller import Poller
from tests.support.site import STREAMS, TOP, Site, provisioned

MINUTES = float(os.environ.get("SOAK_MINUTES", "60"))
STREAM = STREAMS[0]
SENT = Signal(width=854, height=480, rate="30")
CONNECTED_SECONDS = 58.0
AWAY_SECONDS = 2.0
ROTATION_SECONDS = 20.0
SAMPLE_SECONDS = 10.0
MOST_GROWTH = 0.10
"""What a line through the last two thirds of the samples may rise by, against its middle."""
MOST_SKEW_SECONDS = 0.040


class Ivs(Poller):
    """Reads every media playlist each second; no IV may ever stand for two segments."""

    def __init__(self, listed: Multivariant) -> None:
        super().__init__(1.0)
        self.urls = listed.urls
        self.places: dict[str, set[tuple[str, int]]] = {}
        self.keys: set[str] = set()

    def poll(self) -> None:
        """Note each IV with the segment that it stands for."""
        for url in self.urls:
            for segment in player.media(url).segments:
                if segment.key is not None:
                    self.places.setdefault(segment.key.iv, set()).add((url, segment.number))
                    self.keys.add(segment.key.url)

    @property
    def repeated(self) -> list[str]:
        """IVs that stood for more than one segment."""
        return [iv for iv, places in self.places.items() if len(places) > 1]


class Costs(Poller):
    """Looks at the host every ten seconds."""

    def __init__(self, site: Site) -> None:
        super().__init__(SAMPLE_SECONDS)
        self.site = site
        self.began = time.monotonic()
        self.samples: list[tuple[float, Sample]] = []

    def poll(self) -> None:
        """Look once."""
        self.samples.append(((time.monotonic() - self.began) / 60, look(self.site, STREAM)))

    def lines(self) -> dict[str, list[tuple[float, float]]]:
        """Return memory in MB by what holds it, over the minutes."""
        names = sorted({name for _, sample in self.samples for name in sample.rss_kb})
        return {
            name: [(at, sample.rss_kb[name] / 1000) for at, sample in self.samples if name in sample.rss_kb]
            for name in names
        }


class Rotations(Poller):
    """Changes the content key every twenty seconds."""

    def __init__(self, site: Site) -> None:
        super().__init__(ROTATION_SECONDS)
        self.site = site
        self.count = 0

    def poll(self) -> None:
        """Change it."""
        self.site.run("appliance", "keys", "rotate", STREAM)
        self.count += 1


@dataclass
class Encoder:
    """Publishes again and again until told to stop; knows when each picture was made."""

    url: str
    made_at: list[dict[int, float]] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Publish for a minute, be away for two seconds, and so on."""
        while not self._stop.is_set():
            with ClockedPublisher(self.url, SENT) as publisher:
                self.made_at.append(publisher.made_at)
                self._stop.wait(CONNECTED_SECONDS)
            self._stop.wait(AWAY_SECONDS)

    def stop(self) -> None:
        """Stop publishing."""
        self._stop.set()


def growth(line: list[tuple[float, float]]) -> float:
    """Return by what share a straight line through the last two thirds of `line` rises over them."""
    rest = line[len(line) // 3 :]
    times, values = zip(*rest, strict=True)
    slope, _ = statistics.linear_regression(times, values)
    return float(slope * (times[-1] - times[0]) / statistics.mean(values))


def lateness(seen: Seen, made_at: list[dict[int, float]]) -> list[tuple[float, float]]:
    """Return for each minute the median of the seconds from a picture's making to its showing."""
    late: dict[int, list[float]] = {}
    began = seen.shown[0][1]
    for number, at in seen.shown:
        # Each connection counts from 0: the newest that was made before counts.
        made = [pictures[number] for pictures in made_at if pictures.get(number, math.inf) <= at]
        if made:
            late.setdefault(int((at - began) / 60), []).append(at - max(made))
    return [(minute + 0.5, statistics.median(values)) for minute, values in sorted(late.items())]


def skew(folder: Path, listed: Multivariant) -> float:
    """Return how far sound is behind its picture in the newest run, by flashes and beeps, seconds."""
    assert listed.audio_url is not None
    video = player.media(listed.variants[0].url)
    breaks = [segment.number for segment in video.segments if segment.discontinuity]
    numbers = range(max([*breaks, video.segments[-5].number]), video.last + 1)
    player.wait_for_number(listed.audio_url, numbers[-1])
    picture = player.record(listed.variants[0].url, folder / "video", numbers)
    sound = player.record(listed.audio_url, folder / "audio", numbers)
    flashes = pictures.flashes(pictures.read_pictures(picture.files[-1]))
    skews = pictures.skews(flashes, pictures.beeps(sound.files[-1]))
    assert skews, "no flash with a beep was found"
    return max(skews, key=abs)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    """Give a provisioned host."""
    with provisioned() as host:
        yield host


def test_soak(site: Site, tmp_path: Path) -> None:
    encoder = Encoder(site.rtmp(STREAM))
    publishing = threading.Thread(target=encoder.run)
    publishing.start()
    try:
        listed = player.wait_for(site.hls(STREAM), segments=6)
        first = skew(tmp_path / "first", listed)
        with (
            Viewer(site.hls(STREAM), 60 * MINUTES) as viewer,
            Costs(site) as costs,
            Rotations(site) as rotations,
        ):
            with Ivs(listed) as ivs:
                seen = viewer.seen()
            time.sleep(20)  # in the middle of a connection
            last = skew(tmp_path / "last", listed)
            video = player.media(listed.variants[0].url).segments[-1]
            key = player.content_key(video)
            readable = places_of(site, key)
    finally:
        encoder.stop()
        publishing.join()

    late = lateness(seen, encoder.made_at)
    memory = costs.lines()
    files = [(at, float(sample.files)) for at, sample in costs.samples]
    size = [(at, sample.bytes / 1e6) for at, sample in costs.samples]
    picture = TOP / ".cache" / "soak.svg"
    panels = [
        Panel("resident memory, MB", memory),
        Panel("files", {"files": files}),
        Panel("media, MB", {"bytes": size}),
        Panel("latency of the viewer, s (median of a minute)", {"latency": late}),
    ]
    picture.write_text(svg(panels))
    grown = {name: growth(line) for name, line in {**memory, "files": files}.items() if len(line) > 20}
    print(f"\n{MINUTES:g} minutes, {len(encoder.made_at)} connections, {rotations.count} rotations")
    print(f"{len(ivs.places)} IVs under {len(ivs.keys)} keys, {len(ivs.repeated)} of them twice")
    print(f"viewer: {len(seen.shown)} pictures, {seen.stalls} stalls, {len(seen.fatal)} fatal errors")
    print(f"latency: {late[0][1]:.2f} s in the first minute, {late[-1][1]:.2f} s in the last")
    print(f"sound after picture: {1000 * first:+.0f} ms at first, {1000 * last:+.0f} ms at last")
    for name, line in {**memory, "files": files, "media MB": size}.items():
        values = [value for _, value in line]
        print(f"{name:<34} {values[0]:>8.1f} first {max(values):>8.1f} most {values[-1]:>8.1f} last "
              f"{100 * grown.get(name, 0.0):>+6.1f} %")  # fmt: skip
    print(f"drawn in {picture}")
    assert seen.fatal == []
    assert ivs.repeated == []
    assert readable == []
    assert max(abs(first), abs(last)) < MOST_SKEW_SECONDS
    assert all(share < MOST_GROWTH for share in grown.values()), grown
