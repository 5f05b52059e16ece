"""Whether anybody knows how many streams this host encodes (`appliance cpu probe`, `appliance gpu probe`)."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.health.finding import Finding, warning
from appliance.media.capacity.machine import Machine, ffmpeg_version, ladder_mark
from appliance.media.capacity.store import Capacity, read_capacity
from appliance.media.encode.gpus import find_gpus
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.ops.doctor.encoders import PROBE_CPU

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.capacity.store import MadeWith, MeasuredGpus
    from appliance.media.encode.gpus import Gpu
    from appliance.ops.doctor.host import Host

_GPU: Final = "while nothing is live, run: appliance gpu probe"
_LISTED_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class Here:
    """What there is now: FFmpeg's version, the ladder's mark (both "" when nobody can tell), the GPUs."""

    machine: Machine
    ffmpeg: str
    ladder_mark: str
    gpus: Sequence[Gpu] = ()


async def encoding(host: Host) -> list[Finding]:
    """What the host encodes in real time was measured, with the programs of now."""
    settings = host.settings
    if settings.admission == "off":
        return []
    file, seen = Path(settings.capacity_file), "it says nothing of the CPU"
    try:
        capacity = await asyncio.to_thread(read_capacity, file)
    except FileNotFoundError as error:
        capacity, seen = Capacity(), error.strerror or str(error)
    except (OSError, ValueError):
        return []  # the check `encoders` says it
    try:
        mark = ladder_mark(await asyncio.to_thread(load_ladder, ladder_path(settings.ladder)))
    except OperatorError:
        mark = ""  # no stream starts with it, and its unit says why
    ffmpeg, gpus = await asyncio.gather(ffmpeg_version(), _gpus(wanted=settings.encoder != "x264"))
    findings = judge_encoding(capacity, Here(Machine.here(), ffmpeg, mark, gpus))
    if capacity.cpu is None:
        why = "everybody is let in, until streams give up rungs and pictures are late"
        what = "nobody knows how many streams can be encoded"
        findings.insert(0, warning(what, f"{file}: {seen}", why, PROBE_CPU))
    return findings


async def _gpus(*, wanted: bool) -> list[Gpu]:
    try:
        return await find_gpus(seconds=_LISTED_S) if wanted else []
    except OperatorError:
        return []  # there is none, or the check `gpu` says what ails it


def judge_encoding(capacity: Capacity, here: Here) -> list[Finding]:
    """What is wrong with what was measured, for what there is `here`."""
    findings, measured = [], capacity.cpu
    # Of another machine it is not used at all, and the check `encoders` says it.
    ours = measured is not None and measured.machine == here.machine
    if measured is not None and ours and (changed := _changed(measured.made, here)):
        why = "it is used as it is, and may let in too many streams or too few"
        what = "what can be encoded was measured with another FFmpeg or ladder"
        findings.append(warning(what, f"measured {'; '.join(changed)}", why, PROBE_CPU))
    return findings + _judge_gpus(capacity.gpus, here)


def _judge_gpus(measured: MeasuredGpus | None, here: Here) -> list[Finding]:
    if not here.gpus:
        return []
    if measured is None:
        seen = ", ".join(f"{gpu.id}: {gpu.name}" for gpu in here.gpus)
        why = "each stream tries the GPU first, and nobody knows how many fit on it"
        return [warning("what the GPU encodes was never measured", seen, why, _GPU)]
    known, present = {gpu.id for gpu in measured.gpus}, {gpu.id for gpu in here.gpus}
    other = [f"{gpu.id}, {gpu.name} ({gpu.uuid}), is new" for gpu in here.gpus if gpu.id not in known]
    other += [f"{gpu.id}, {gpu.name} ({gpu.uuid}), is gone" for gpu in measured.gpus if gpu.id not in present]
    if other:
        why = "a new GPU gets no stream; one that is gone is tried, and the CPU encodes what was sent there"
        return [warning("the GPUs that were measured are not those of now", "; ".join(other), why, _GPU)]
    changed = _changed(measured.made, here)
    if (driver := here.gpus[0].driver) != measured.driver:
        changed.append(f"with the driver {measured.driver}, here is {driver}")
    if not changed:
        return []
    why = "it is used as it is, and may send too many streams to the GPU or too few"
    what = "what the GPU encodes was measured with another driver, FFmpeg or ladder"
    return [warning(what, f"measured {'; '.join(changed)}", why, _GPU)]


def _changed(made: MadeWith, here: Here) -> list[str]:
    changed = []
    if here.ffmpeg and here.ffmpeg != made.ffmpeg:
        changed.append(f"with FFmpeg {made.ffmpeg}, here is {here.ffmpeg}")
    if here.ladder_mark and here.ladder_mark != made.ladder_mark:
        changed.append(f"with the ladder {made.ladder} as it was {made.at}")
    return changed
