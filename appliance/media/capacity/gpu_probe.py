"""What NVENC carries on each GPU, in H.264, the ladder's only codec: its speed, and the driver's sessions.

Whole ladders are encoded side by side, decoded by NVDEC and scaled on the GPU as a stream's are, until they
are slower than real time or the driver refuses a session. A GPU that encodes nothing carries none, and why is
kept; so is that the CPU has to decode for it. What fails for another reason is no limit of the driver's.

This has never run on a GPU that encodes: none was at hand. Tried were what comes before, on a host without a
GPU, and the steps that are the CPU's, too.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from appliance.media.capacity.figures import GpuFigures
from appliance.media.capacity.rising import Rise, rise
from appliance.media.capacity.trial import TrialError, trial
from appliance.media.capacity.work import Work
from appliance.media.encode.gpu_faults import GpuFault, explained, fault_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from appliance.media.capacity.material import Clip
    from appliance.media.capacity.reference import Reference
    from appliance.media.capacity.trial import Session
    from appliance.media.encode.command import RunPlan
    from appliance.media.encode.gpus import Gpu

_MIG: Final = "it is in MIG mode, whose parts FFmpeg cannot be told apart by number"
_OPENING_S: Final = 1.0


async def probe_gpu(
    gpu: Gpu,
    reference: Reference,
    clip: Clip,
    *,
    name: str,
    step_seconds: float,
    seconds: float,
    tell: Callable[[str], None],
    ffmpeg: str = "ffmpeg",
) -> GpuFigures:
    """Measures `gpu` with `clip`, whose source is called `name`; `tell` hears of each step."""
    nothing = GpuFigures(index=gpu.index, uuid=gpu.uuid, name=gpu.name, source=name)
    if gpu.mig:
        return replace(nothing, reason=_MIG)
    whole = replace(reference.whole, encoder=replace(reference.whole.encoder, gpu=gpu.id))

    def running(plan: RunPlan) -> Callable[[int], Awaitable[Sequence[Session]]]:
        return lambda sessions: trial(plan, clip, sessions, step_seconds, ffmpeg=ffmpeg)

    try:
        rising = await rise(running(whole), seconds=seconds, tell=tell)
    except TrialError as error:
        tell(f"with pictures decoded on the GPU: {error}")
        whole = replace(whole, gpu_decodes=False)
        try:
            rising = await rise(running(whole), seconds=seconds, tell=tell)
        except TrialError as refused:
            return replace(nothing, reason=explained(str(refused)))
    if rising.limit == "failed" and fault_of(rising.reason) is not None:
        return replace(nothing, reason=explained(rising.reason))
    sessions, rungs = None, len(whole.rungs)
    if rising.refused is not None:
        smallest = replace(whole, rungs=whole.rungs[-1:])
        sessions = await most_sessions(
            max(step.sessions for step in rising.steps) * rungs,
            rising.refused * rungs,
            lambda count: trial(smallest, clip, count, _OPENING_S, ffmpeg=ffmpeg),
        )
        tell(f"{sessions} sessions at most: {explained(rising.reason)}")
    return found(nothing, rising, Work.of(clip.source, whole.rungs), sessions, decodes=whole.gpu_decodes)


async def most_sessions(known: int, refused: int, run: Callable[[int], Awaitable[Sequence[Session]]]) -> int:
    """Returns how many sessions can be open at once: `known` can, `refused` cannot; `run` tries some."""
    while refused - known > 1:
        count = (known + refused) // 2
        try:
            await run(count)
        except TrialError as error:
            if fault_of(str(error)) is not GpuFault.FULL:
                break  # nothing is learnt of more than ran
            refused = count
        else:
            known = count
    return known


def found(
    nothing: GpuFigures, rising: Rise, work: Work, sessions: int | None, *, decodes: bool = True
) -> GpuFigures:
    """Returns the figures of a GPU on which whole ladders of `work` have risen so far."""
    return replace(
        nothing,
        pixels=rising.steps[-1].together * sum(work.rungs.values()),
        sessions=sessions,
        reason=explained(rising.reason) if rising.reason else "",
        streams=rising.streams,
        complete=rising.limit not in {"time", "failed"},
        decodes=decodes,
        limit=rising.limit,
        steps=rising.steps,
    )
