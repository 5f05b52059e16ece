"""One stream through all that may happen to it, with its playlists recorded and browsers watching.

What is tested on it takes minutes of media, so it is made once: two encoders, the second within the grace
time of the first, content keys that change all the time, a rung that the host gives up, and the end.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support import lip_sync, player
from tests.support.browser import Seen, Viewer
from tests.support.encoder import Publisher, Signal
from tests.support.history import History, record
from tests.support.site import CONFORMANCE_STREAM, GRACE_SECONDS, Site
from tests.support.slowness import Slowness, slowness
from tests.support.waiting import until

STREAM = CONFORMANCE_STREAM
WATCH_SECONDS = 105.0
AWAY_SECONDS = 2.5
"""Between the encoders. With what the second takes to begin, longer than hls.js would wait for a part three
times; shorter than GRACE_SECONDS."""
MORE_SEGMENTS = 4
"""What happens by itself is looked at for this many segments each before and after what is done."""
LATE_BEEPS = 4
_DROP_SECONDS = 60.0

# The two rungs below it are encoded, and so the upper of them can be given up: the source is never copied.
SENT = Signal(width=854, height=480, rate="25", level="5.1")


@dataclass
class LongWatch:
    """What was recorded and seen. Times are unix seconds."""

    history: History
    early: Seen
    """By a page that was open before the stream began."""
    late: Seen
    """By a page that came between two keyframes."""
    given_up: str
    """URL of the media playlist of the rung that was given up."""
    began: float
    reconnected: float
    waiting: float
    """For how many seconds the early page had had nothing to show when WATCH_SECONDS were over."""
    said: str
    """By hls.js in the early page."""
    source: Path
    """What a publisher sends."""


@dataclass
class _Play:
    """The stream's life, act by act."""

    site: Site
    viewer: Viewer
    slow: Slowness
    first: Publisher
    began: float = field(default_factory=time.time)
    reconnected: float = 0.0
    given_up: str = ""
    waiting: float = 0.0
    late: Seen = field(default_factory=Seen)

    def acts(self, urls: list[str]) -> None:
        """Do everything, one after the other; each act with a new key."""
        self._more(urls)
        self._rotate(urls)
        with Viewer(self.site.hls(STREAM), sound=True) as late:
            self._rotate(urls)
            self.late = late.until("beeps", lambda seen: len(lip_sync.offsets(seen)) >= LATE_BEEPS, 40)
        self._rotate(urls)
        self.first.stop()
        time.sleep(AWAY_SECONDS)
        self.reconnected = time.time()
        with Publisher(self.site.rtmp(STREAM), SENT):
            self._more(urls)
            self._rotate(urls)
            self._rotate(urls)
            self._give_up(urls)
            self._rotate(urls)
            # Until nothing of what was there before is left in the rung that was given up.
            while time.time() < self.began + WATCH_SECONDS or player.media(self.given_up).segments:
                self._rotate(urls)
            watched = self.viewer.look()  # what comes after the last picture is not what was watched
            self.waiting = watched.waiting
            print(f"the early viewer: {len(watched.shown)} pictures, {watched.errors}, {watched.state}")
        until("the end", lambda: all(player.media(url).ended for url in urls), GRACE_SECONDS + 10)

    def _rotate(self, urls: list[str]) -> None:
        self.site.run("appliance", "keys", "rotate", STREAM)
        self._more(urls)

    def _give_up(self, urls: list[str]) -> None:
        self.slow.begin()
        until("a rung is given up", lambda: bool(self._status()["dropped_rungs"]), _DROP_SECONDS)
        self.slow.end()
        (rung,) = self._status()["dropped_rungs"]
        (self.given_up,) = [url for url in urls if url.endswith(f"/{rung['name']}/index.m3u8")]
        self._more(urls)

    def _status(self) -> dict[str, Any]:
        shown = self.site.run("appliance", "streams", "show", STREAM, "--json", check=False)
        found: dict[str, Any] = json.loads(shown.stdout)
        return found

    def _more(self, urls: list[str]) -> None:
        """Wait until each playlist has so many more segments."""
        wanted = max(player.media(url).last for url in urls) + MORE_SEGMENTS
        for url in urls:
            player.wait_for_number(url, wanted)


def long_watch(site: Site, folder: Path) -> LongWatch:
    """Play it all on `site`; `folder` keeps the source."""
    source = lip_sync.source_file(SENT, folder, 16)
    url = site.hls(STREAM)
    with slowness(site, STREAM) as slow, Viewer(url, sound=True) as viewer:
        with Publisher(site.rtmp(STREAM), SENT) as first:
            play = _Play(site, viewer, slow, first)
            player.wait_for(url, segments=2)
            history = record(url, play.acts)
        seen, said = viewer.look(), viewer.said()
    return LongWatch(
        history, seen, play.late, play.given_up, play.began, play.reconnected, play.waiting, said, source
    )
