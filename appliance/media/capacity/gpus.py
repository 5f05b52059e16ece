"""Which GPUs there are, as nvidia-smi tells of them, and which of them can be asked to encode."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.nvidia_smi import query, read_gpus
from appliance.subprocesses import NOT_THERE, TOO_LONG, run_program

_FIELDS: Final = ("uuid", "name", "driver_version", "mig.mode.current")
_SECONDS: Final = 20.0
"""The first answer of a driver that nobody uses takes seconds for each GPU."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """One GPU. `index` is nvidia-smi's, which FFmpeg has too (CUDA_DEVICE_ORDER, `ffmpeg`)."""

    index: int
    uuid: str
    name: str
    driver: str
    mig: bool = False


def listed_gpus(text: str) -> list[Gpu]:
    """Returns the GPUs of what nvidia-smi printed; lines that are none (a GPU that is lost) are left out."""
    return [
        Gpu(
            int(index),
            values["uuid"],
            values["name"],
            values["driver_version"],
            mig=values["mig.mode.current"] == "Enabled",
        )
        for index, values in read_gpus(text, _FIELDS).items()
    ]


async def find_gpus() -> list[Gpu]:
    """Returns the GPUs of this host. Raises OperatorError (EX_UNAVAILABLE), with the reason, without any."""
    command = query(_FIELDS)
    answer = await run_program(*command, seconds=_SECONDS)
    if answer.status == NOT_THERE:
        raise _none(answer.errors)
    if answer.status == TOO_LONG:
        raise _none(f"{command[0]} does not answer within {_SECONDS:g} s")
    text = answer.text + answer.errors
    if not (found := listed_gpus(text)):
        lines = text.strip().splitlines()
        raise _none(lines[0] if lines else f"{command[0]} prints nothing, exit status {answer.status}")
    return found


def _none(why: str) -> OperatorError:
    return OperatorError(
        f"no NVIDIA GPU can be asked: {why}",
        exit_code=EX_UNAVAILABLE,
        hint="without one, measure what the CPU carries: appliance cpu probe",
    )
