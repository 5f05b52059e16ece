"""What is done to a stream that is soaked, and what is noted of it meanwhile."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.soak.host import Sample, look
from tests.support import player
from tests.support.encoder import ClockedPublisher, Signal
from tests.support.playlists import Multivariant
from tests.support.poller import Poller
from tests.support.site import STREAMS, Site

STREAM = STREAMS[0]
SENT = Signal(width=854, height=480, rate="30")
CONNECTED_SECONDS = 58.0
AWAY_SECONDS = 2.0
ROTATION_SECONDS = 20.0
SAMPLE_SECONDS = 10.0

Line = list[tuple[float, float]]
"""Minutes since the beginning, and a value."""


class Ivs(Poller):
    """Reads every media playlist each second; no IV may ever stand for two segments."""

    def __init__(self, listed: Multivariant) -> None:
        super().__init__(1.0)
        self.urls = listed.urls
        self.places: dict[str, set[tuple[str, int]]] = defaultdict(set)
        """URL of the playlist and number of the segment, by IV."""
        self.pairs: dict[tuple[str, str], set[tuple[str, int]]] = defaultdict(set)
        """The same by the id of the key and the IV."""
        self.keys: dict[str, None] = {}
        """URLs in the order in which they were first listed."""
        self.unanswered = 0

    def poll(self) -> None:
        """Note each IV with the segment that it stands for."""
        for url in self.urls:
            try:
                segments = player.media(url).segments
            except (OSError, AssertionError):
                self.unanswered += 1
                continue
            for segment in segments:
                if segment.key is not None:
                    place = (url, segment.number)
                    self.places[segment.key.iv].add(place)
                    self.pairs[segment.key.url.rpartition("/")[2], segment.key.iv].add(place)
                    self.keys[segment.key.url] = None

    @property
    def repeated(self) -> list[str]:
        """IVs, and pairs with a key, that stood for more than one segment."""
        found = [iv for iv, places in self.places.items() if len(places) > 1]
        return found + [" ".join(pair) for pair, places in self.pairs.items() if len(places) > 1]


class Costs(Poller):
    """Looks at the host every ten seconds."""

    def __init__(self, site: Site) -> None:
        super().__init__(SAMPLE_SECONDS)
        self.site = site
        self.began = time.time()
        self.samples: list[tuple[float, Sample]] = []

    def poll(self) -> None:
        """Look once."""
        self.samples.append(((time.time() - self.began) / 60, look(self.site, STREAM)))

    def memory(self) -> dict[str, Line]:
        """Return resident memory, MB, by what holds it."""
        names = sorted({name for _, sample in self.samples for name in sample.rss_kb})
        return {
            name: [
                (at, sample.rss_kb[name] * 1.024e-3) for at, sample in self.samples if name in sample.rss_kb
            ]
            for name in names
        }


class Rotations(Poller):
    """Changes the content key every twenty seconds."""

    def __init__(self, site: Site) -> None:
        super().__init__(ROTATION_SECONDS)
        self.site = site
        self.count = 0

    def poll(self) -> None:
        """Change it, if there is somebody to ask."""
        done = self.site.run("appliance", "keys", "rotate", STREAM, check=False)
        self.count += done.returncode == 0


@dataclass
class Encoder:
    """Publishes again and again until told to stop; knows when each picture was made."""

    url: str
    publishers: list[ClockedPublisher] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Publish for a minute, be away for two seconds, and so on."""
        while not self._stop.is_set():
            with ClockedPublisher(self.url, SENT) as publisher:
                self.publishers.append(publisher)
                self._stop.wait(CONNECTED_SECONDS)
            self._stop.wait(AWAY_SECONDS)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Publish while the block runs."""
        thread = threading.Thread(target=self.run)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            thread.join()

    def made(self) -> list[tuple[int, float]]:
        """Return number and unix time of each picture that was made."""
        return [item for publisher in self.publishers for item in publisher.made_at.items()]
