"""What the next run makes of the source: which rungs, copied or encoded, by which encoder.

A GPU that fails in a stream gives way to x264 with the next run, at once: nothing is tried in between that
may hang as the GPU does. Whether it is marked for all streams (`gpu_marks`) shows a frame that is encoded on
it beside the stream, whatever FFmpeg said, unless that was that the GPU has fallen off the bus: a source that
breaks FFmpeg, or the GPU's decoder, must not take a GPU from everybody. The stream stays with the CPU until
its publisher comes next. Where the CPU is too slow for it and the GPU works again, it goes back instead of
giving up a rung.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.media.encode.command import RunPlan
from appliance.media.encode.copying import CopyWatch, with_copy
from appliance.media.encode.encoder import EncoderChoice, try_encoder
from appliance.media.encode.encoder_memory import NVIDIA_DEVICE, EncoderMemory, shared_directory
from appliance.media.encode.gpu_faults import GpuFault, explained, fault_of, off_the_bus, telling
from appliance.media.encode.gpu_marks import GpuMarks, Mark
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS
from appliance.media.package.timeline import longest_segment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Coroutine, Sequence

    from appliance.media.encode.ffmpeg import Ending
    from appliance.media.encode.gpus import GpuId
    from appliance.media.encode.ladder import Ladder
    from appliance.media.encode.placement import Placement
    from appliance.media.encode.source import Source
    from appliance.media.rtmp.chunks import Message
    from appliance.settings import Settings

log = logging.getLogger(__name__)

SLOWEST: Final = 0.97
"""Media time that has to be encoded in a second; below it the stream would fall behind without end."""


_MARKS_S: Final = 5.0
"""How often is looked whether a GPU that has failed is to be tried again."""

_STARTED_S: Final = 1.0
"""A process has been started by then."""

_LATE: Final = Fraction(1, 10)
"""Seconds before a segment would be too long, when a missing keyframe ends copying: what was copied until
then still fits the segment, and leaves no stump behind it that no player could begin with."""


class RunPlanner:
    """Plans the runs of one stream, and remembers of its publisher what has not worked."""

    def __init__(
        self,
        settings: Settings,
        ladder: Ladder,
        *,
        place: Callable[[], Awaitable[Placement | None]] | None = None,
        ffmpeg: str = "ffmpeg",
    ) -> None:
        self.encoder: EncoderChoice | None = None
        self.dropped: dict[str, str] = {}
        """The rungs that were given up, because this host is too slow, and why in words."""
        self.encoded_because: str | None = None
        """Why the source is not copied; None while it is, or nothing was planned."""
        self._settings = settings
        self._ladder = ladder
        self._place = place
        self._ffmpeg = ffmpeg
        self._encoders = EncoderMemory.of_unit(settings.encoder, ffmpeg=ffmpeg, device=NVIDIA_DEVICE)
        self._marks = GpuMarks(shared_directory())
        self._trying: asyncio.Task[None] | None = None
        self._looked_at = 0.0
        self._went_back = False
        self._gpu_decodes = True
        self._nothing_to_drop = False
        self._copy = self._new_watch()

    def reset(self) -> None:
        """The publisher is gone, and with it what was learnt of it."""
        self.dropped = {}
        self.encoded_because = None
        self._gpu_decodes = True
        self._went_back = False
        self._nothing_to_drop = False
        self._copy = self._new_watch()
        known = self.encoder
        if known is not None and (known.stands_in or known.placed or NVIDIA_DEVICE.exists()):
            self.encoder = None  # whatever is remembered beside it: a GPU may work again, or have failed

    def observe(self, message: Message) -> None:
        """Takes a frame of the source."""
        self._copy.observe(message)

    def pause(self) -> None:
        """The source's timestamps have jumped."""
        self._copy.pause()

    async def choose_encoder(self) -> EncoderChoice:
        """Returns the encoder, found out when that is not known. Raises OperatorError when none works."""
        if self.encoder is None:
            self.encoder = await self._choose()
        return self.encoder

    async def _choose(self) -> EncoderChoice:
        placed = None
        if self._place is not None and self._settings.encoder != "x264" and NVIDIA_DEVICE.exists():
            placed = await self._place()
        if placed is None:
            return await self._choose_among(await self._encoders.gpus())
        if placed.gpu is None:
            if self._settings.encoder == "auto":
                return EncoderChoice("x264", placed.reason, placed=True)
            return replace(await self._choose_among(await self._encoders.gpus()), placed=True)
        choice = replace(await self._choose_among([placed.gpu]), placed=True)
        if choice.family == "nvenc" or choice.stands_in:
            return choice
        if choice.fault is not GpuFault.FULL:
            # It was measured to encode, and the next stream would be sent there, too.
            self._marks.put(placed.gpu, choice.reason)
        return replace(choice, instead_of=placed.gpu)

    async def _choose_among(self, gpus: Sequence[GpuId]) -> EncoderChoice:
        """NVENC on the first of `gpus` that works and is not marked, else x264; on CUDA's first for none."""
        marks = {gpu: self._marks.against(gpu) for gpu in gpus or (None,)}
        free = [gpu for gpu in gpus if marks[gpu] is None]
        against = [mark for mark in marks.values() if mark is not None]
        if len(against) < len(marks):
            return await self._encoders.choose(free)
        if self._settings.encoder == "auto":
            return self._instead_of(next(iter(marks)), GpuFault.LOST, against[0].text)
        # Where x264 may not encode, no other stream may be there to try them again.
        due = [mark for mark in against if mark.again_at <= time.time()]
        try:
            choice = await self._encoders.choose(gpus)
        except OperatorError as error:
            for mark in due:
                self._marks.tried(mark, error.message)
            raise
        for mark in against:
            if mark.of(choice.gpu):
                self._marks.tried(mark, None)
        return choice

    @staticmethod
    def _instead_of(gpu: GpuId | None, fault: GpuFault | None, reason: str) -> EncoderChoice:
        choice = EncoderChoice("x264", reason, stands_in=True, instead_of=gpu, fault=fault)
        log.warning("encoder x264: %s", reason)
        return choice

    async def plan(self, source: Source, *, declared_kbps: float | None, begin_s: float) -> RunPlan:
        """Returns the next run's plan. `declared_kbps` is what the publisher says of its pictures' bitrate.

        Raises OperatorError when no encoder works.
        """
        encoder = await self.choose_encoder()
        rungs = plan_rungs(self._ladder, source)
        if self._settings.copy_source == "never":
            encoded: str | None = "the setting `copy_source` says never"
        elif (encoded := self._copy.misfit) is None:
            rungs, encoded = with_copy(rungs, source, self._copy.kbps() or declared_kbps)
        if encoded is not None and rungs:
            log.info("the source is not copied: %s", encoded)
        self.encoded_because = encoded
        return RunPlan(
            source=source,
            rungs=tuple(rung for rung in rungs if rung.name not in self.dropped),
            encoder=encoder,
            segment_seconds=self._settings.segment_seconds,
            part_seconds=self._settings.part_seconds,
            container=self._settings.container,
            begin_s=begin_s,
            thumbnail_seconds=THUMBNAIL_SECONDS,
            gpu_decodes=encoder.family == "nvenc" and self._gpu_decodes,
        )

    def check_copy(self, plan: RunPlan) -> str | None:
        """Looks whether `plan` may go on copying the source, and remembers that it may not.

        Returns in words why not; None while it may, or copies nothing.
        """
        if not plan.copies:
            return None
        self._copy.check_rate(plan.rungs[0])
        return self._copy.misfit

    def drop_rung(self, plan: RunPlan, speed: float) -> str | None:
        """`plan` runs at `speed`, slower than its source: says which rung the next does without.

        The largest one that is encoded; never the smallest rung. None when nothing can be given up. Where
        x264 stands in for a GPU that works again, that encodes instead, and no rung is given up.
        """
        if (back := self._back_to_the_gpu()) is not None:
            self.encoder = back
            return f"encoding ran at {speed:.2f} of real time: {back.reason}"
        spare = [rung for rung in plan.encoded if rung is not plan.rungs[-1]]
        if not self._settings.drop_slow_rungs or not spare:
            if not self._nothing_to_drop:
                log.warning("encoding runs at %.2f of real time, and no rung is given up", speed)
            self._nothing_to_drop = True
            return None
        reason = f"encoding ran at {speed:.2f} of real time"
        self.dropped[spare[0].name] = reason
        return f"{reason}: the rung {spare[0].name} is given up"

    def encoder_failed(self, plan: RunPlan, ending: Ending, errors: Sequence[str], *, soon: bool) -> None:
        """A run of `plan` has ended by itself, `soon` after its beginning or later; FFmpeg printed `errors`.

        With a GPU that may be the cause. Where a message says so, and where it came later, the next run
        encodes by the CPU. Where it came soon and nobody knows why, the next run of this publisher decodes on
        the CPU, and the one after it encodes there too. Whom somebody else has killed goes on as it was.
        """
        if plan.encoder.family != "nvenc":
            return
        gpu = plan.encoder.gpu
        said = telling([*errors, ending.reason])
        fault = None if said is None else fault_of(said)
        mark = self._marks.against(gpu)
        if fault is None and mark is None and ending.outside and not soon:
            return
        self._encoders.forget(gpu)
        if fault is None and mark is None and soon and plan.gpu_decodes and not ending.given_up:
            self._gpu_decodes = False
            log.warning("the next run decodes on the CPU: the GPU failed: %s", ending.reason)
            return
        why = ending.reason if said is None else explained(said)
        if mark is not None and fault is None:
            fault, why = GpuFault.LOST, f"{ending.reason}; {mark.text}"
        elif said is not None and off_the_bus(said):
            self._marks.put(gpu, why)
        elif fault is not GpuFault.FULL:
            self._try_beside(self._prove(gpu, why))
        if self._settings.encoder == "auto":
            self.encoder = self._instead_of(gpu, fault, f"NVENC failed in this stream: {why}")
        else:
            self.encoder = None

    def tick(self, now: float) -> None:
        """To be called every half second: tries a GPU again that has failed, when that is due.

        `now` are monotonic seconds.
        """
        if self._settings.encoder == "x264" or now - self._looked_at < _MARKS_S or self._busy:
            return
        self._looked_at = now
        if (mark := self._marks.due()) is not None:
            self._try_beside(self._try_again(mark))

    async def close(self) -> None:
        """Ends what runs beside the stream."""
        if self._trying is not None:
            # A process that is being started must not be cancelled: asyncio would wait for it for ever.
            await asyncio.wait([self._trying], timeout=_STARTED_S)
            self._trying.cancel()
            await asyncio.gather(self._trying, return_exceptions=True)

    async def tried(self) -> None:
        """Waits for the GPU that is tried beside the stream, if there is one."""
        if self._trying is not None:
            await asyncio.wait([self._trying])

    @property
    def _busy(self) -> bool:
        return self._trying is not None and not self._trying.done()

    def _try_beside(self, trial: Coroutine[object, object, None]) -> None:
        if self._busy:
            trial.close()
        else:
            self._trying = asyncio.create_task(trial)

    async def _try_again(self, mark: Mark) -> None:
        failure = await try_encoder("nvenc", gpu=mark.gpu, ffmpeg=self._ffmpeg)
        if failure is not None and fault_of(failure) is GpuFault.FULL:
            failure = None  # who is full works
        self._marks.tried(mark, None if failure is None else explained(failure))
        if failure is None:
            self._encoders.forget(mark.gpu)

    async def _prove(self, gpu: GpuId | None, reason: str) -> None:
        """Marks `gpu`, with which a run has ended for `reason`, when it encodes nothing now."""
        failure = await try_encoder("nvenc", gpu=gpu, ffmpeg=self._ffmpeg)
        if failure is None:
            log.warning("the GPU still encodes, and so keeps its other streams; a run ended: %s", reason)
        elif fault_of(failure) is not GpuFault.FULL:
            self._marks.put(gpu, explained(failure))

    def _back_to_the_gpu(self) -> EncoderChoice | None:
        """The GPU for which x264 stands in, when it works again: once for each publisher."""
        encoder = self.encoder
        if encoder is None or not encoder.stands_in or encoder.fault is GpuFault.FULL or self._busy:
            return None
        if self._went_back or not self._marks.kept or self._marks.against(encoder.instead_of) is not None:
            return None
        self._went_back = True
        reason = "back to the GPU, which works again"
        return EncoderChoice("nvenc", reason, placed=True, gpu=encoder.instead_of)

    def _new_watch(self) -> CopyWatch:
        return CopyWatch(longest_segment(self._settings.segment_seconds) - _LATE)
