"""What x264 carries on this host: what a rung costs, and how many whole ladders run side by side.

Sessions are given pictures as fast as they take them, so all cores are busy; what a stream costs is measured
then, as two threads of one core do less together than twice what one of them does alone.
"""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import psutil

from appliance.media.capacity.figures import CpuFigures
from appliance.media.capacity.rising import rise
from appliance.media.capacity.trial import trial
from appliance.media.capacity.work import Work

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from appliance.media.capacity.material import Clip
    from appliance.media.capacity.reference import Reference
    from appliance.media.capacity.trial import Session
    from appliance.media.encode.command import RunPlan


async def probe_cpu(
    reference: Reference,
    clip: Clip,
    *,
    name: str,
    step_seconds: float,
    seconds: float,
    tell: Callable[[str], None],
    ffmpeg: str = "ffmpeg",
) -> CpuFigures:
    """Measures with `clip`, whose source is called `name`; `tell` hears of each step.

    A step takes `step_seconds` and two or three to begin. There is one more of them than rungs, then as many
    as it takes to find too many sessions, for about `seconds` at most. Raises TrialError when FFmpeg does not
    encode here.
    """

    async def cost(plan: RunPlan, what: str) -> float:
        found = cores_each(await trial(plan, clip, 1, step_seconds, ffmpeg=ffmpeg))
        tell(f"{what}: {found:.3f} cores")
        return found

    first: list[Sequence[Session]] = []
    others = 0.0

    async def whole(sessions: int) -> list[Session]:
        nonlocal others
        before = busy_with_others()
        found = await trial(reference.whole, clip, sessions, step_seconds, ffmpeg=ffmpeg)
        begun, others_before = before
        now, others_now = busy_with_others()
        others = max(0.0, others_now - others_before) / (now - begun)
        first.append(found)
        return found

    copied = await cost(reference.copied, "the source as it is")
    alone = [await cost(plan, f"{plan.rungs[0].name} alone") for plan in reference.alone]
    rising = await rise(whole, seconds=seconds, tell=tell)
    together = cores_each(first[0])
    dearer = cores_each(rising.last) / together
    stream, decode, rungs = split_costs(copied, alone, together)
    work = Work.of(clip.source, reference.whole.rungs)
    return CpuFigures(
        cores=sum(session.cores for session in rising.last),
        stream=stream * dearer,
        decode=decode * dearer / work.source,
        rungs={
            name: cores * dearer / pixels
            for (name, pixels), cores in zip(work.rungs.items(), rungs, strict=True)
        },
        source=name,
        streams=rising.streams,
        complete=rising.limit != "time",
        others=round(others, 3),
        steps=rising.steps,
    )


def cores_each(sessions: Sequence[Session]) -> float:
    """Returns what a second of media costs, in CPU seconds, over all `sessions`."""
    return sum(session.cores for session in sessions) / max(sum(session.speed for session in sessions), 1e-9)


def busy_with_others() -> tuple[float, float]:
    """Returns the time (s, monotonic) and the CPU seconds until then that this process and those it has ended
    have not used; of the whole machine, so that a busy one is known."""
    busy, own = psutil.cpu_times(), os.times()
    idle = busy.idle + getattr(busy, "iowait", 0.0)
    guests = getattr(busy, "guest", 0.0) + getattr(busy, "guest_nice", 0.0)  # counted as user and nice, too
    return time.monotonic(), sum(busy) - idle - guests - sum(own[:4])


def split_costs(copied: float, alone: Sequence[float], together: float) -> tuple[float, float, list[float]]:
    """Returns what a stream costs by itself, what its decoding does, and each rung, all in cores.

    `copied` is a stream of which nothing is encoded, `alone` one with each rung alone, and `together` one
    with all of them, which has decoded once. No part is less than nothing, however the measurements vary.
    """
    decoded = (sum(alone) - together) / (len(alone) - 1) if len(alone) > 1 else copied
    decoded = min(max(decoded, copied), *alone) if min(alone) > copied else min(alone)
    rungs = [each - decoded for each in alone]
    # What was measured together is what streams do; the parts follow it.
    scale = (together - decoded) / sum(rungs) if sum(rungs) > 0 and together > decoded else 1.0
    stream = min(copied, decoded)
    return stream, decoded - stream, [each * scale for each in rungs]
