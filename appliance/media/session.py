"""The life of one stream: waiting → live → waiting (grace) → ended (kept for its last viewers) → gone.

One queue of events, one place that decides. How frames become runs of FFmpeg stands in
`appliance.media.encode.pipeline`, what becomes of their fragments in `appliance.media.package.packager`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import time
from typing import TYPE_CHECKING, Any, Final, assert_never

from appliance.media.alerts import Alert
from appliance.media.encode.pipeline import Pipeline, RunEnded
from appliance.media.encode.placement import ask_placement
from appliance.media.encode.thumbnails import Thumbnails
from appliance.media.rtmp.client import PublisherEvent, RtmpUrl
from appliance.media.rtmp.reader import Arrival, Joined, Lost, ReaderEvent, read_stream
from appliance.media.status import STATUS_FILE, Meter, State, StreamStatus
from appliance.media.storage import Storage, StorageError
from appliance.sdnotify import notify

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.media.encode.ladder import Ladder
    from appliance.media.package.packager import Packager
    from appliance.settings import Settings

log = logging.getLogger(__name__)

TICK_S: Final = 0.5
_PRESENT_S: Final = 2.0
"""A publisher whose last message is older than this does not keep a waiting stream alive."""

_READY_S: Final = 5.0
"""systemd hears by then that the unit is ready, joined or not: restarting it would mend no ingest."""


class _Signal(enum.Enum):
    TICK = "tick"
    STOP = "stop"


_Event = ReaderEvent | RunEnded | _Signal


class StreamSession:
    """One stream of this host.

    Parameters
    ----------
    stream
        Its name, for status and journal.
    packager
        Of this stream; the session calls it from its own event loop only.
    directory
        The stream's directory, where `status.json` is written.
    play_name
        What the reader plays: the stream's name and the secret that the control service knows it by.
    """

    def __init__(
        self,
        stream: str,
        settings: Settings,
        ladder: Ladder,
        packager: Packager,
        *,
        directory: Path,
        play_name: str,
        ffmpeg: str = "ffmpeg",
    ) -> None:
        self._settings = settings
        self._packager = packager
        self._directory = directory
        self._alerts = packager.alerts
        self._storage = Storage(directory, self._alerts)
        self._url = RtmpUrl.parse(settings.ingest_url)
        self._play_name = play_name
        self._events: asyncio.Queue[_Event] = asyncio.Queue()
        self._pipeline = Pipeline(
            settings,
            ladder,
            packager,
            Thumbnails(self._storage),
            before_run=self._go_live,
            put=self._events.put_nowait,
            place=lambda: ask_placement(settings.control_url, stream),
            ffmpeg=ffmpeg,
        )
        self._state = State.WAITING
        self._deadline = 0.0
        self._ready_by: float | None = 0.0
        self._last_media = 0.0
        # A process before this one may have published already.
        self._has_output = packager.next_msn > 0
        self._meter = Meter()
        self.status = StreamStatus(stream)

    def stop(self) -> None:
        """Ends the session cleanly and keeps its state on disk: the next one resumes from there."""
        self._events.put_nowait(_Signal.STOP)

    def replace_play_name(self, play_name: str) -> None:
        """The reader plays `play_name` from its next connection on; the one it has goes on."""
        self._play_name = play_name

    async def run(self) -> None:
        """Lives the stream's life; returns when it is over, or after `stop`.

        Raises OperatorError when no encoder works, and whatever unexpected error a callback met: the process
        ends then, and systemd starts the next one, which resumes from the disk.
        """
        loop = asyncio.get_running_loop()
        failed: asyncio.Future[None] = loop.create_future()

        def on_error(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
            error = context.get("exception") or RuntimeError(context["message"])
            if not failed.done():
                failed.set_exception(error)

        loop.set_exception_handler(on_error)
        now = time.monotonic()
        self._ready_by = now + _READY_S
        self._enter(State.WAITING, "no publisher yet", self._settings.grace_seconds)
        tasks = [
            asyncio.create_task(read_stream(self._url, lambda: self._play_name, self._events.put_nowait)),
            asyncio.create_task(self._tick()),
            asyncio.create_task(self._live()),
        ]
        try:
            done, _ = await asyncio.wait([*tasks, failed], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            notify("STOPPING=1")
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._pipeline.close("the session ends")
            if not failed.done():
                failed.cancel()
            loop.set_exception_handler(None)

    async def _tick(self) -> None:
        while True:
            self._events.put_nowait(_Signal.TICK)
            await asyncio.sleep(TICK_S)

    async def _live(self) -> None:
        await self._pipeline.choose_encoder()
        while True:
            event = await self._events.get()
            match event:
                case Arrival():
                    self._last_media = time.monotonic()
                    self._meter.add(len(event.message.payload), self._last_media)
                    await self._pipeline.take(event)
                    self._see_refusal()
                case RunEnded():
                    await self._pipeline.take_ending(event)
                case Joined():
                    self.status.reader = "connected"
                    self._ready()
                case Lost():
                    self.status.reader = event.reason
                    await self._publisher_left(f"the reader lost its connection: {event.reason}")
                case PublisherEvent.STARTED:
                    log.info("a publisher has come")
                    await self._publisher_left("another publisher has come")
                case PublisherEvent.ENDED:
                    await self._publisher_left("the publisher has left")
                case _Signal.STOP:
                    log.info("stopped; the stream's state is kept")
                    return
                case _Signal.TICK:
                    if await self._on_tick(time.monotonic()):
                        return
                case _:
                    assert_never(event)

    async def _on_tick(self, now: float) -> bool:
        """Returns whether the stream is over."""
        notify("WATCHDOG=1")
        if self._ready_by is not None and now >= self._ready_by:
            self._ready()
        await self._pipeline.tick()
        present = self._pipeline.refused is None and now - self._last_media < _PRESENT_S
        if self._state is not State.LIVE and now >= self._deadline and not present:
            if self._state is State.ENDED or not self._has_output:
                log.info("over: %s", self.status.reason)
                self._packager.remove()
                return True
            self._packager.finish()
            self._enter(State.ENDED, self.status.reason, self._settings.retain_seconds)
        self._write_status(now)
        return False

    def _go_live(self) -> None:
        """A run is about to begin."""
        if self._state is State.ENDED:
            self._packager.new_epoch()
        self._has_output = True
        if self._state is not State.LIVE:
            self._enter(State.LIVE, "publishing", 0)

    async def _publisher_left(self, reason: str) -> None:
        refused = self._pipeline.refused is not None
        await self._pipeline.leave(reason)
        self._last_media = 0.0
        if refused or self._state is State.LIVE:
            self._stop_being_live(reason)

    def _see_refusal(self) -> None:
        reason = f"the source is refused: {self._pipeline.refused}"
        if self._pipeline.refused is not None and self.status.reason != reason:
            self._stop_being_live(reason)

    def _stop_being_live(self, reason: str) -> None:
        """Waits for a publisher from now on; one that waited already waits no longer than before."""
        if self._state is State.LIVE:
            self._enter(State.WAITING, reason, self._settings.grace_seconds)
        else:
            self._enter(self._state, reason, self._deadline - time.monotonic())

    def _enter(self, state: State, reason: str, seconds: float) -> None:
        self._state = state
        self._deadline = time.monotonic() + seconds
        self.status.enter(state, reason)
        log.info("%s: %s", state.value, reason, extra={"fields": {"epoch": self._packager.epoch}})
        notify(f"STATUS={state.value}: {reason}")

    def _ready(self) -> None:
        if self._ready_by is not None:
            self._ready_by = None
            notify("READY=1")

    def _write_status(self, now: float) -> None:
        status, pipeline = self.status, self._pipeline
        status.bitrate_kbps = self._meter.kbps(now)
        status.describe_pipeline(pipeline)
        status.media = self._packager.overview()
        status.alerts = self._alerts.describe()
        if not self._directory.is_dir():  # which its unit makes, and nobody else does
            return
        try:
            self._storage.write(STATUS_FILE, status.dumps())
        except StorageError as error:
            self._alerts.note(Alert.WRITE_FAILED, f"not written: {error}")
