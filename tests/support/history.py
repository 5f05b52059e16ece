"""What a live stream's playlists said over a time: every text that was there, in its order."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support import player
from tests.support.low_latency import LowLatencyPlaylist, parse
from tests.support.playlists import Multivariant

POLL_SECONDS = 0.05
"""A fifth of a part: no state of a playlist is missed."""


@dataclass(frozen=True)
class Snapshot:
    """One text of a media playlist; `at` is the monotonic time in seconds at which it was first seen."""

    at: float
    text: str
    playlist: LowLatencyPlaylist


@dataclass
class Recorder:
    """Records the media playlist at `url` in a thread of its own, as a player that polls sees it."""

    url: str
    snapshots: list[Snapshot] = field(default_factory=list)
    refused: list[int] = field(default_factory=list)
    """Statuses but 200."""
    _stopped: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._record, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()

    def _record(self) -> None:
        text = ""
        while not self._stopped.wait(POLL_SECONDS):
            answer = player.get(self.url)
            if answer.status != 200:
                self.refused.append(answer.status)
            elif (now := answer.body.decode()) != text:
                text = now
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


def record(url: str, meanwhile: Callable[[], None]) -> History:
    """Record the playlists of the stream at `url` (of a multivariant playlist) while something is done."""
    listed = player.multivariant(url)
    urls = [variant.url for variant in listed.variants] + ([listed.audio_url] if listed.audio_url else [])
    with ExitStack() as stack:
        recorders = [stack.enter_context(Recorder(url)) for url in urls]
        meanwhile()
    refused = [status for recorder in recorders for status in recorder.refused]
    return History(listed, {recorder.url: recorder.snapshots for recorder in recorders}, refused)
