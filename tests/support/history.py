"""What a live stream's playlists said over a time: every text that was there, in its order."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass

from tests.support import player
from tests.support.low_latency import LowLatencyPlaylist, parse
from tests.support.playlists import Multivariant
from tests.support.poller import Poller

POLL_SECONDS = 0.05
"""A fifth of a part: no state of a playlist is missed."""


@dataclass(frozen=True)
class Snapshot:
    """One text of a media playlist; `at` is the monotonic time in seconds at which it was first seen."""

    at: float
    text: str
    playlist: LowLatencyPlaylist


class Recorder(Poller):
    """Records the media playlist at `url`, as a player that polls sees it."""

    def __init__(self, url: str) -> None:
        super().__init__(POLL_SECONDS)
        self.url = url
        self.snapshots: list[Snapshot] = []
        self.refused: list[int] = []
        """Statuses but 200."""

    def poll(self) -> None:
        """Read the playlist, and keep its text where it is another than the last."""
        answer = player.get(self.url)
        if answer.status != 200:
            self.refused.append(answer.status)
            return
        text = answer.body.decode()
        if not self.snapshots or self.snapshots[-1].text != text:
            self.snapshots.append(Snapshot(time.monotonic(), text, parse(self.url, text)))


@dataclass(frozen=True)
class History:
    """All of a stream's playlists over a time."""

    multivariant: Multivariant
    media: dict[str, list[Snapshot]]
    """By URL."""
    refused: list[int]

    @property
    def snapshots(self) -> list[Snapshot]:
        """Those of all renditions."""
        return [snapshot for snapshots in self.media.values() for snapshot in snapshots]


def record(url: str, meanwhile: Callable[[list[str]], None]) -> History:
    """Record the playlists of the stream at `url` (of a multivariant playlist) while something is done.

    `meanwhile` gets the media playlists' URLs; the recording ends with it.
    """
    listed = player.multivariant(url)
    urls = listed.urls
    with ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(url)) for url in urls]
        meanwhile(urls)
    for recorder in recorders:
        recorder.poll()  # what `meanwhile` has seen at last is in it
    refused = [status for recorder in recorders for status in recorder.refused]
    return History(listed, {recorder.url: recorder.snapshots for recorder in recorders}, refused)
