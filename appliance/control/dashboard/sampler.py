"""Tells all hosts of this one: how its streams do every few seconds, and a sample each minute.

It is the one place where the dashboard's figures are taken. They are those of `/metrics` and of
`appliance streams show`: what the streams' processes write, and what delivery tells of its viewers.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from appliance.control.dashboard.host_now import HostNow
from appliance.control.dashboard.rates import SentRates
from appliance.control.dashboard.streams_now import stream_now
from appliance.control.troubles import Troubles
from appliance.media.encode.thumbnails import THUMBNAIL
from appliance.media.status_reading import read_status, streams_on_disk
from appliance.state.happenings import Happenings
from appliance.state.host_reports import SAMPLE_SECONDS, HostReports
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.control.context import Control
    from appliance.control.dashboard.recent import Recent

EVERY_SECONDS: Final = 3.0
_RATE_SECONDS: Final = 10.0
"""Players take whole segments: over less, what is sent goes up and down with them."""

_MOST_STREAMS: Final = 200
"""Of one host, in a report; 100 kB of it."""
_MOST_SAMPLED: Final = 50
"""Of one host, in a sample, those with the most viewers; all count in its totals."""


class Sampler:
    """The loop; `troubles` says what is wrong on this host at present."""

    def __init__(self, control: Control, recent: Recent, troubles: Callable[[], Sequence[str]]) -> None:
        self._control = control
        self._recent = recent
        self._host_troubles = troubles
        self._reports = HostReports(control.state)
        self._happenings = Happenings(control.state)
        self._root = Path(control.settings.media_root)
        self._host = HostNow(self._root)
        self._now, self._minute = SentRates(_RATE_SECONDS), SentRates(SAMPLE_SECONDS)
        self._sampled: int | None = None
        self._ailing: dict[str, set[str]] = {}
        self._troubles = Troubles("dashboard sampler")

    async def run(self) -> None:
        """Tells for ever."""
        while True:
            await self.attempt()
            await asyncio.sleep(EVERY_SECONDS)

    async def attempt(self) -> None:
        """One round that never raises."""
        try:
            await self.round()
        except (StateUnavailableError, OSError) as error:
            self._troubles(str(error))
        # Broad on purpose, as in the reconciler: nobody awaits this task before the service ends.
        except Exception as error:  # noqa: BLE001
            self._troubles(type(error).__name__)
        else:
            self._troubles(None)

    async def round(self) -> None:
        """Tells once. Raises StateUnavailableError, and OSError when the media root cannot be read."""
        traffic = self._control.traffic
        names, streams = await asyncio.to_thread(self._streams)
        traffic.keep(names)
        viewers, sent = traffic.viewers(), self._now.look(traffic.sent)
        for stream in streams:
            name = stream["name"]
            stream["viewers"], stream["sent_kbps"] = viewers.get(name, 0), sent.get(name, 0)
        self._tell_ailments(streams)
        report = {
            **self._host.look(),
            "troubles": list(self._host_troubles())[:10],
            "streams": streams[:_MOST_STREAMS],
            "viewers": sum(viewers.values()),
            "sent_kbps": sum(sent.values()),
            "received_kbps": round(sum(stream.get("received_kbps") or 0 for stream in streams)),
        }
        await self._reports.put(self._control.host, report)
        await self._sample(streams, viewers)
        await self._tell()

    def _streams(self) -> tuple[Sequence[str], list[dict[str, Any]]]:
        """The streams on disk, and what is shown of those that say something."""
        now, names = time.time(), streams_on_disk(self._root)
        seconds = self._control.settings.segment_seconds
        found = []
        for name in names:
            status = read_status(self._root / name)
            shown = None if status is None else stream_now(name, status, now, segment_seconds=seconds)
            if shown is not None:
                found.append({**shown, "picture": _written(self._root / name / THUMBNAIL)})
        return names, found

    async def _sample(self, streams: Sequence[dict[str, Any]], viewers: dict[str, int]) -> None:
        # In the middle of each minute: hosts' clocks need not agree by the second to have one sample in each.
        minute = int((time.time() - SAMPLE_SECONDS / 2) // SAMPLE_SECONDS)
        if minute == self._sampled:
            return
        self._sampled = minute
        sent = self._minute.look(self._control.traffic.sent)
        most = sorted(streams, key=lambda stream: -stream["viewers"])[:_MOST_SAMPLED]
        await self._reports.add_sample(
            self._control.host,
            {
                "total": [
                    sum(viewers.values()),
                    sum(sent.values()),
                    round(sum(stream.get("received_kbps") or 0 for stream in streams)),
                ],
                "streams": {
                    stream["name"]: [
                        stream["viewers"],
                        sent.get(stream["name"], 0),
                        round(stream.get("received_kbps") or 0),
                    ]
                    for stream in most
                },
            },
        )

    def _tell_ailments(self, streams: Sequence[dict[str, Any]]) -> None:
        """Says what began to ail a stream, and when that is over."""
        # Of one whose process is silent nobody can say that anything is over.
        now = {
            stream["name"]: {each["what"] for each in stream["findings"]}
            for stream in streams
            if "live" in stream
        }
        for name, ailing in now.items():
            before = self._ailing.get(name, set())
            for what in sorted(ailing - before):
                self._recent.tell(name, what, warning=True)
            for what in sorted(before - ailing):
                self._recent.tell(name, f"No longer: {what}")
        there = {stream["name"] for stream in streams}
        self._ailing = {name: what for name, what in self._ailing.items() if name in there} | now

    async def _tell(self) -> None:
        happenings = self._recent.take()
        try:
            await self._happenings.add(happenings)
        except StateUnavailableError:
            self._recent.put_back(happenings)
            raise


def _written(path: Path) -> int | None:
    """When the file was written (Unix milliseconds), by which a browser knows a newer one; None: never."""
    try:
        return path.lstat().st_mtime_ns // 1_000_000
    except OSError:
        return None
