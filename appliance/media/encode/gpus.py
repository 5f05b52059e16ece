"""Which GPUs there are, as nvidia-smi tells of them, and how FFmpeg is given one of them.

A GPU is known by its UUID. Its index is for people: when a GPU falls off the bus those behind it move up, for
nvidia-smi and for CUDA. FFmpeg takes nothing but indexes, so it is started in an environment in which CUDA
has the one GPU (CUDA_VISIBLE_DEVICES, in NVIDIA's CUDA programming guide), as its device 0. No host with two
GPUs has ever run it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Final

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.nvidia_smi import query, read_gpus
from appliance.subprocesses import NOT_THERE, TOO_LONG, TOO_MUCH, run_program

_FIELDS: Final = ("uuid", "name", "driver_version", "mig.mode.current")
_SECONDS: Final = 20.0
"""The first answer of a driver that nobody uses takes seconds for each GPU."""

_UUID: Final = re.compile(r"GPU-[0-9A-Za-z-]{1,64}\Z")
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class GpuId:
    """One GPU: the same where the UUID is. `index` is for people, and what it was when somebody looked."""

    uuid: str
    index: int = field(compare=False)

    def __str__(self) -> str:
        return f"GPU {self.index}"

    @classmethod
    def parse(cls, kept: Any) -> GpuId:
        """Returns the GPU that `asdict` made `kept` of. Raises ValueError, TypeError or KeyError."""
        uuid, index = str(kept["uuid"]), int(kept["index"])
        if not _UUID.match(uuid) or not 0 <= index < _MOST:
            raise ValueError("no GPU")
        return cls(uuid, index)


@dataclass(frozen=True, slots=True)
class Gpu:
    """A GPU as nvidia-smi lists it; `index` is the one that it has now."""

    index: int
    uuid: str
    name: str
    driver: str
    mig: bool = False

    @property
    def id(self) -> GpuId:
        """Which one it is."""
        return GpuId(self.uuid, self.index)


def environment_of(gpu: GpuId | None) -> dict[str, str]:
    """What FFmpeg's environment needs so that CUDA's device 0 is `gpu`; None is the first of nvidia-smi's."""
    # In its own order CUDA's fastest would be the first.
    order = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
    return order if gpu is None else {**order, "CUDA_VISIBLE_DEVICES": gpu.uuid}


def listed_gpus(text: str) -> list[Gpu]:
    """Returns the GPUs of what nvidia-smi printed; lines that are none (a GPU that is lost) are left out.

    Each is there once.
    """
    found = [
        Gpu(
            int(index),
            values["uuid"],
            values["name"],
            values["driver_version"],
            mig=values["mig.mode.current"] == "Enabled",
        )
        for index, values in read_gpus(text, _FIELDS).items()
        if _UUID.match(values["uuid"])
    ]
    once: dict[str, Gpu] = {}
    for gpu in found:
        once.setdefault(gpu.uuid, gpu)
    return list(once.values())


async def find_gpus(*, seconds: float = _SECONDS) -> list[Gpu]:
    """Returns the GPUs of this host. Raises OperatorError (EX_UNAVAILABLE), with the reason, without any."""
    command = query(_FIELDS)
    answer = await run_program(*command, seconds=seconds)
    if answer.status in {NOT_THERE, TOO_LONG, TOO_MUCH}:
        raise _none(answer.said)
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
