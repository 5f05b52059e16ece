"""Whether anybody knows how many streams this host encodes in real time (`appliance cpu probe`)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.errors import OperatorError
from appliance.health.finding import Finding, warning
from appliance.media.capacity.machine import Machine, ffmpeg_version, ladder_mark
from appliance.media.capacity.store import read_capacity
from appliance.media.encode.ladder import ladder_path, load_ladder

if TYPE_CHECKING:
    from appliance.media.capacity.store import Capacity
    from appliance.ops.doctor.host import Host

_MEND: Final = "while nothing is live, run: appliance cpu probe"


async def encoding(host: Host) -> list[Finding]:
    """What the host encodes in real time was measured, as the machine and with the programs of now."""
    settings = host.settings
    if settings.admission == "off":
        return []
    file = Path(settings.capacity_file)
    try:
        capacity = await asyncio.to_thread(read_capacity, file)
        seen = "" if capacity.cpu else "it says nothing of the CPU"
    except (OSError, ValueError) as error:
        seen = getattr(error, "strerror", None) or str(error)
    if seen:
        why = "everybody is let in, until streams give up rungs and pictures are late"
        return [warning("nobody knows how many streams can be encoded", f"{file}: {seen}", why, _MEND)]
    try:
        mark = ladder_mark(await asyncio.to_thread(load_ladder, ladder_path(settings.ladder)))
    except OperatorError:
        mark = ""  # no stream starts with it, and its unit says why
    return judge_encoding(capacity, Machine.here(), await ffmpeg_version(), mark)


def judge_encoding(capacity: Capacity, machine: Machine, ffmpeg: str, mark: str) -> list[Finding]:
    """What is wrong with what was measured, for this machine, FFmpeg's version and the ladder's mark."""
    measured = capacity.cpu
    if measured is None:
        return []
    if measured.machine != machine:
        seen = f"measured on {measured.machine.cores} cores ({measured.machine.kind}); "
        seen += f"here are {machine.cores} ({machine.kind})"
        why = "it is not used: everybody is let in, until streams give up rungs and pictures are late"
        return [warning("what can be encoded was measured on another machine", seen, why, _MEND)]
    changed = []
    if ffmpeg and ffmpeg != measured.made.ffmpeg:
        changed.append(f"with FFmpeg {measured.made.ffmpeg}, here is {ffmpeg}")
    if mark and mark != measured.made.ladder_mark:
        changed.append(f"with the ladder {measured.made.ladder} as it was {measured.made.at}")
    if not changed:
        return []
    why = "it is used as it is, and may let in too many streams or too few"
    what = "what can be encoded was measured with another FFmpeg or ladder"
    return [warning(what, f"measured {'; '.join(changed)}", why, _MEND)]
