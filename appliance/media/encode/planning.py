"""What the next run makes of the source: which rungs, copied or encoded, by which encoder."""

from __future__ import annotations

import logging
from dataclasses import replace
from fractions import Fraction
from typing import TYPE_CHECKING, Final

from appliance.media.encode.command import RunPlan
from appliance.media.encode.copying import CopyWatch, with_copy
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.encoder_memory import NVIDIA_DEVICE, EncoderMemory
from appliance.media.encode.rungs import plan_rungs
from appliance.media.encode.thumbnails import THUMBNAIL_SECONDS
from appliance.media.package.timeline import longest_segment

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.media.encode.ladder import Ladder
    from appliance.media.encode.placement import Placed
    from appliance.media.encode.source import Source
    from appliance.media.rtmp.chunks import Message
    from appliance.settings import Settings

log = logging.getLogger(__name__)

SLOWEST: Final = 0.97
"""Media time that has to be encoded in a second; below it the stream would fall behind without end."""


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
        place: Callable[[], Awaitable[Placed | None]] | None = None,
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
        self._encoders = EncoderMemory.of_unit(settings.encoder, ffmpeg=ffmpeg)
        self._gpu_decodes = True
        self._nothing_to_drop = False
        self._copy = self._new_watch()

    def reset(self) -> None:
        """The publisher is gone, and with it what was learnt of it."""
        self.dropped = {}
        self.encoded_because = None
        self._gpu_decodes = True
        self._nothing_to_drop = False
        self._copy = self._new_watch()
        if self.encoder is not None and (self.encoder.stands_in or self.encoder.placed):
            self.encoder = None

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
        if placed is not None and placed.gpu is None and self._settings.encoder == "auto":
            return EncoderChoice("x264", placed.reason, placed=True)
        choice = await self._encoders.choose()
        if placed is None or choice.family != "nvenc":
            return choice
        return replace(choice, gpu=placed.gpu, placed=True)

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

        The largest one that is encoded; never the smallest rung. None when nothing can be given up.
        """
        spare = [rung for rung in plan.encoded if rung is not plan.rungs[-1]]
        if not self._settings.drop_slow_rungs or not spare:
            if not self._nothing_to_drop:
                log.warning("encoding runs at %.2f of real time, and no rung is given up", speed)
            self._nothing_to_drop = True
            return None
        reason = f"encoding ran at {speed:.2f} of real time"
        self.dropped[spare[0].name] = reason
        return f"{reason}: the rung {spare[0].name} is given up"

    def encoder_failed(self, plan: RunPlan, reason: str, *, soon: bool) -> None:
        """A run of `plan` has ended by itself, `soon` after its beginning or later.

        With a GPU that may be the cause. Soon: the next run of this publisher decodes on the CPU, the one
        after it encodes there too. Later: what works is found out anew.
        """
        if plan.encoder.family != "nvenc":
            return
        self._encoders.forget()
        if soon and plan.gpu_decodes:
            self._gpu_decodes = False
            log.warning("the next run decodes on the CPU: the GPU failed: %s", reason)
        elif soon and self._settings.encoder == "auto":
            self.encoder = EncoderChoice("x264", f"NVENC failed in this stream: {reason}", stands_in=True)
            log.warning("encoder x264: %s", self.encoder.reason)
        else:
            self.encoder = None

    def _new_watch(self) -> CopyWatch:
        return CopyWatch(longest_segment(self._settings.segment_seconds) - _LATE)
