"""From frames to runs: when a run can begin, when it must end, and what follows when FFmpeg dies."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.media.alerts import Alert
from appliance.media.encode.clock import JumpDetector, milliseconds_since
from appliance.media.encode.ffmpeg import Ending
from appliance.media.encode.gop import GopBuffer
from appliance.media.encode.planning import SLOWEST, RunPlanner
from appliance.media.encode.run import EncodingRun
from appliance.media.encode.source import Source, SourceProbe, UnsupportedSourceError
from appliance.media.package.mp4 import Mp4Error
from appliance.media.rtmp import flv
from appliance.media.rtmp.chunks import MessageType

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.media.encode.encoder import EncoderChoice
    from appliance.media.encode.ladder import Ladder
    from appliance.media.encode.placement import Placement
    from appliance.media.encode.thumbnails import Thumbnails
    from appliance.media.package.packager import Packager
    from appliance.media.rtmp.chunks import Message
    from appliance.media.rtmp.reader import Arrival
    from appliance.settings import Settings

log = logging.getLogger(__name__)

_JUMP_S: Final = (1.0, 3.0)
"""Within these bounds a segment's length: timestamps that leave the others by more begin a new run, for
players would stall at the hole or the overlap."""

_HEALTHY_RUN_S: Final = 5.0
_PAUSES_S: Final = (0.0, 0.0, 0.5, 1.0, 2.0, 5.0)
"""Pauses before FFmpeg is started again, by how many runs in a row ended within five seconds: FFmpeg's fault
or the source's."""


@dataclass(frozen=True, slots=True)
class RunEnded:
    """A run's FFmpeg is gone."""

    run: EncodingRun
    ending: Ending


class Pipeline:
    """Turns one stream's frames into runs of FFmpeg that feed `packager`.

    `before_run` is called before each run begins; `put` gets RunEnded when an FFmpeg is gone, which the
    caller hands back to `take_ending` from the place where it calls everything else. `place` is asked where
    the stream was let in to; None, and nothing is asked.
    """

    def __init__(
        self,
        settings: Settings,
        ladder: Ladder,
        packager: Packager,
        thumbnails: Thumbnails,
        *,
        before_run: Callable[[], None],
        put: Callable[[RunEnded], None],
        place: Callable[[], Awaitable[Placement | None]] | None = None,
        ffmpeg: str = "ffmpeg",
    ) -> None:
        self._planner = RunPlanner(settings, ladder, place=place, ffmpeg=ffmpeg)
        self._packager = packager
        self._alerts = packager.alerts
        self._thumbnails = thumbnails
        self._jumps = JumpDetector(1000 * min(max(settings.segment_seconds, _JUMP_S[0]), _JUMP_S[1]))
        self._before_run = before_run
        self._put = put
        self._ffmpeg = ffmpeg
        self._probe = SourceProbe()
        self._gop = GopBuffer()
        self._short_runs = 0
        self._respawn_at = 0.0
        self.run: EncodingRun | None = None
        self.runs = 0
        self._break_because: str | None = None
        self.refused: str | None = None
        self.last_ending: str | None = None
        self.last_ended_at = 0.0
        """Unix time of `last_ending`."""

    @property
    def source(self) -> Source | None:
        """What the publisher sends; None while nothing is known."""
        return self._probe.source if self._probe.headers else None

    @property
    def keyframe_seconds(self) -> float | None:
        """The distance of the last two keyframes of the source."""
        return self._probe.keyframe_seconds

    @property
    def encoder(self) -> EncoderChoice | None:
        """Which encoder is used; None while that is not known."""
        return self._planner.encoder

    @property
    def dropped(self) -> dict[str, str]:
        """The rungs that were given up because encoding was too slow, and why in words."""
        return self._planner.dropped

    @property
    def encoded_because(self) -> str | None:
        """Why the source is not copied; None while it is, or nothing was planned."""
        return self._planner.encoded_because

    async def choose_encoder(self) -> None:
        """Finds out which encoder works. Raises OperatorError when none that is allowed does."""
        await self._planner.choose_encoder()

    async def take(self, arrival: Arrival) -> None:
        """Takes one message of the publisher."""
        message, now = arrival.message, time.monotonic()
        if self.refused is not None:
            return
        try:
            frame = self._probe.observe(message, now)
        except UnsupportedSourceError as error:
            self.refused = str(error)
            log.error("the source is refused: %s", error)  # noqa: TRY400 - a reason, not a crash
            await self.end_run("the source is refused")
            return
        if not frame:
            return
        await self._break_at_jump(message)
        self._gop.add(message, arrival.wall)
        self._planner.observe(message)
        if self.run is not None and self._outgrown(self.run, message):
            await self._break("the source's codec parameters have changed")
        if self.run is not None and self._may_begin_with(message):
            if self._break_because is None and self.run.worn_out:
                self._break_because = "it has lasted for 24 days, and timestamps are finite"
            if self._break_because is not None:
                await self._break(self._break_because)
        if self.run is not None and (misfit := self._planner.check_copy(self.run.plan)) is not None:
            log.warning("the source is encoded from here on, no longer copied: %s", misfit)
            await self._break(f"the source cannot be copied any longer: {misfit}")
            await self._begin(time.monotonic(), at=message.timestamp)
            return
        if self.run is not None:
            self.run.feed(message)
        else:
            await self._begin(time.monotonic())

    async def take_ending(self, event: RunEnded) -> None:
        """FFmpeg is gone: the run's segments are completed, and another begins unless it was told to end."""
        if event.run is not self.run:
            return
        log.error("FFmpeg (pid %d): %s", event.run.ffmpeg.pid, event.ending.reason)
        soon = time.monotonic() - event.run.begun_at < _HEALTHY_RUN_S
        self._planner.encoder_failed(event.run.plan, event.ending, event.run.ffmpeg.errors, soon=soon)
        if soon:
            self._alerts.note(Alert.RUNS_FAIL, event.ending.reason)
        await self._break(event.ending.reason)
        await self._begin(time.monotonic())

    async def tick(self) -> None:
        """To be called every half second: begins what waited for a track or a pause, ends what hangs."""
        self._planner.tick(time.monotonic())
        if self.run is not None:
            self.run.watch(time.monotonic())
            self._see_pace(self.run)
            self._see_left_out(self.run)
        elif self.refused is None:
            await self._begin(time.monotonic())
        if self.refused is not None:
            self._alerts.hold(Alert.SOURCE_REFUSED, self.refused)
        if self.dropped:
            self._alerts.hold(Alert.RUNG_GIVEN_UP, ", ".join(self.dropped))

    async def leave(self, reason: str) -> None:
        """The publisher is gone: its run ends, and all that was known of it is forgotten."""
        await self.end_run(reason)
        self._probe = SourceProbe()
        self._planner.reset()
        self._gop.clear()
        self._jumps.clear()
        self._short_runs = 0
        self._respawn_at = 0.0
        self.refused = None

    async def close(self, reason: str) -> None:
        """Ends the run, if there is one, and all that goes on beside it."""
        await self._planner.close()
        await self.end_run(reason)

    async def end_run(self, reason: str) -> None:
        """Ends the run, if there is one, and completes its last segments."""
        run, self.run = self.run, None
        self._break_because = None
        if run is None:
            return
        self._see_left_out(run)
        self._note_ending(reason)
        try:
            ending = await run.finish()
        except Mp4Error as error:
            self._note_ending(f"its last fragments cannot be packaged: {error}")
            log.error("%s", self.last_ending)  # noqa: TRY400 - a reason, not a crash
        else:
            log.info("run %d ended: %s (FFmpeg: %s)", self.runs, reason, ending.reason)

    async def _begin(self, now: float, *, at: int | None = None) -> None:
        """Begins a run when all is known for it; what lies before the timestamp `at` has been published."""
        if now < self._respawn_at or not self._probe.ready(now):
            return
        source = self._probe.source
        self._gop.video = source.video is not None
        replay = self._gop.replay()
        if not replay:
            return
        try:
            plan = await self._planner.plan(
                source,
                declared_kbps=self._probe.declared_kbps,
                begin_s=0 if at is None else milliseconds_since(_first_picture(replay), at) / 1000,
            )
            self._before_run()
            run = await EncodingRun.begin(
                plan, self._probe.headers, replay, self._packager, self._thumbnails, ffmpeg=self._ffmpeg
            )
        except (OSError, OperatorError) as error:
            self._note_ending(str(error))
            self._alerts.note(Alert.RUNS_FAIL, str(error))
            self._respawn_at = time.monotonic() + _PAUSES_S[-1]
            log.error("a run cannot begin: %s", error)  # noqa: TRY400 - a reason, not a crash
            return
        self.run = run
        self.runs += 1
        run.ffmpeg.ended.add_done_callback(lambda done: self._put(RunEnded(run, done.result())))
        log.info("run %d begins: %s → %s (%s)", self.runs, source, plan.text, plan.encoder.codec)

    def _note_ending(self, reason: str) -> None:
        self.last_ending, self.last_ended_at = reason, time.time()

    def _see_pace(self, run: EncodingRun) -> None:
        """Has a run that falls behind end at the next keyframe, where the next begins with a rung less."""
        speed = run.pace.speed
        if speed is None or not run.pace.slow(SLOWEST):
            return
        self._alerts.hold(Alert.SLOW_ENCODING, f"it runs at {speed:.2f} of real time")
        if self._break_because is not None:
            return
        self._break_because = self._planner.drop_rung(run.plan, speed)
        if self._break_because is not None:
            log.warning("%s", self._break_because)

    def _see_left_out(self, run: EncodingRun) -> None:
        if count := run.take_left_out():
            self._alerts.note(Alert.PICTURES_LEFT_OUT, f"{count} pictures")

    async def _break(self, reason: str) -> None:
        """Ends the run; the next one waits the longer, the more runs in a row were short."""
        if self.run is not None:
            short = time.monotonic() - self.run.begun_at < _HEALTHY_RUN_S
            self._short_runs = self._short_runs + 1 if short else 0
            await self.end_run(reason)
            pause = _PAUSES_S[min(self._short_runs, len(_PAUSES_S) - 1)]
            self._respawn_at = time.monotonic() + pause

    async def _break_at_jump(self, message: Message) -> None:
        step = self._jumps.step(message)
        if step is None:
            return
        self._gop.clear()
        self._planner.pause()
        if self.run is not None:
            log.warning("the source's timestamps jump by %.3f s", step / 1000)
        await self._break(f"the source's timestamps jumped by {step / 1000:.3f} s")

    def _outgrown(self, run: EncodingRun, message: Message) -> bool:
        """Whether `run` cannot go on: a codec header has changed, or a track has come that it does not have.

        A picture's track counts from a keyframe on, where the next run can begin.
        """
        header = self._probe.headers.get(message.type)
        begun_with = run.headers.get(message.type)
        if header is None or (begun_with is not None and begun_with.payload == header.payload):
            return False
        return message.type != MessageType.VIDEO or self._may_begin_with(message)

    def _may_begin_with(self, message: Message) -> bool:
        """Whether the next run can begin with this frame of its leading track."""
        if message.type == MessageType.VIDEO:
            return flv.parse_video(message.payload).kind is flv.PacketKind.KEYFRAME
        return self._probe.source.video is None


def _first_picture(replay: Sequence[Arrival]) -> int:
    kinds = {arrival.message.type for arrival in replay}
    lead = MessageType.VIDEO if MessageType.VIDEO in kinds else MessageType.AUDIO
    return next(arrival.message.timestamp for arrival in replay if arrival.message.type == lead)
