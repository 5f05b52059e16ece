"""What goes on at the host all the time: encoders that come back, and viewers that ask."""

from __future__ import annotations

import itertools
import time
from contextlib import suppress
from types import TracebackType

import httpx

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.low_latency import parse
from tests.support.poller import Poller
from tests.support.site import Site

NOTHING_NEW_SECONDS = 1.0
"""How long a player waits when the playlist is as it was: half a target duration (RFC 8216bis, 6.3.4)."""


class Encoders(Poller):
    """Publish streams, each again when a fault has cut it off."""

    def __init__(self, site: Site, streams: tuple[str, ...]) -> None:
        super().__init__(1.0)
        self._site = site
        self._publishers: dict[str, Publisher | None] = dict.fromkeys(streams)

    def poll(self) -> None:
        """See that each publishes."""
        for stream, publisher in self._publishers.items():
            if publisher is None or not publisher.connected:
                if publisher is not None:
                    publisher.stop()
                again = Publisher(self._site.rtmp(stream), Signal(gop_seconds=1))
                self._publishers[stream] = again.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        for publisher in self._publishers.values():
            if publisher is not None:
                publisher.stop()


class Newcomers(Poller):
    """Somebody new begins to watch a stream every moment, about whom the backend is asked."""

    def __init__(self, site: Site, stream: str) -> None:
        super().__init__(0.3)
        self._url = site.hls(stream)
        self._names = itertools.count()
        self._http = httpx.Client(trust_env=False, timeout=10)

    def poll(self) -> None:
        """Ask as nobody before."""
        with suppress(httpx.TransportError):
            self._http.get(self._url, headers={"User-Agent": f"newcomer-{next(self._names)}"})

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        self._http.close()


class Viewer(Poller):
    """Watches a stream at the live edge: asks for the playlist with what comes next, over and over."""

    def __init__(self, site: Site, stream: str) -> None:
        super().__init__(0.05)
        self._url = site.hls(stream)
        self._playlist: str | None = None
        self._next = (0, 0)

    def poll(self) -> None:
        """Ask once; begin anew when the stream does."""
        try:
            if self._playlist is None:
                self._playlist = player.multivariant(self._url).variants[0].url
                url = self._playlist
            else:
                number, part = self._next
                url = f"{self._playlist}?_HLS_msn={number}&_HLS_part={part}"
            answer = player.get(url, seconds=15)
            assert answer.status == 200, url
            number, part = parse(self._playlist, answer.body.decode()).newest
            if self._next == (number, part + 1):
                time.sleep(NOTHING_NEW_SECONDS)
            self._next = number, part + 1
        except (OSError, AssertionError):
            self._playlist = None
