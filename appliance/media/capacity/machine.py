"""Which machine, and which programs, a measurement holds for."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.digest import digest
from appliance.subprocesses import run_program

if TYPE_CHECKING:
    from appliance.media.encode.ladder import Ladder

_MODALIAS: Final = Path("/sys/devices/system/cpu/modalias")
_CPUINFO: Final = Path("/proc/cpuinfo")
_VERSION_S: Final = 5.0


@dataclass(frozen=True, slots=True)
class Machine:
    """The CPU: `kind` as the kernel tells one from another (vendor, family, model), and its cores.

    Both are seen from within a service's sandbox, which the model's name in /proc/cpuinfo is not.
    """

    kind: str
    cores: int

    @classmethod
    def here(cls, modalias: Path = _MODALIAS) -> Machine:
        """Returns this one."""
        try:
            text = modalias.read_text(encoding="ascii", errors="replace")
        except OSError:
            text = ""
        return cls(text.partition(":feature:")[0].strip(), os.cpu_count() or 1)


def cpu_name(cpuinfo: Path = _CPUINFO) -> str:
    """Returns the CPU's name, for people; `unknown CPU` where the kernel tells none."""
    try:
        text = cpuinfo.read_text(encoding="utf-8", errors="replace")
    except OSError:
        text = ""
    match = re.search(r"^(?:model name|Model)\s*:\s*(.+)$", text, re.MULTILINE)
    return " ".join(match[1].split()) if match else "unknown CPU"


async def ffmpeg_version(ffmpeg: str = "ffmpeg") -> str:
    """Returns the version that FFmpeg says of itself; "" when it does not run."""
    words = (await run_program(ffmpeg, "-version", seconds=_VERSION_S)).text.split()
    return words[2] if words[:2] == ["ffmpeg", "version"] and len(words) > 2 else ""


def ladder_mark(ladder: Ladder) -> str:
    """Returns a short name for what `ladder` says: another one when a rung or an option has changed."""
    return digest(json.dumps([asdict(rung) for rung in ladder.rungs], sort_keys=True))[:12]
