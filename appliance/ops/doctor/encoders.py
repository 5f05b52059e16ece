"""Whether the encoder that is set can be there, and what was measured of it can be used."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, critical, warning
from appliance.health.stream import NVENC_MEND
from appliance.media.capacity.machine import Machine
from appliance.media.capacity.store import read_capacity

if TYPE_CHECKING:
    from appliance.media.capacity.store import MeasuredCpu
    from appliance.ops.doctor.host import Host

PROBE_CPU: Final = "while nothing is live, run: appliance cpu probe"

_UNUSED: Final = "it is not used: everybody is let in, until streams give up rungs and pictures are late"


async def encoders(host: Host) -> list[Finding]:
    """The encoder that is set can be there, and what was measured of it is readable and of this machine."""
    return [*judge_setting(host.settings.encoder, host.nvidia_device), *await _measured(host)]


def judge_setting(encoder: str, device: Path) -> list[Finding]:
    """Whether `encoder` asks for a GPU on a host without the driver's `device`."""
    if encoder != "nvenc" or device.exists():
        return []
    seen = f"encoder: nvenc is set, and there is no {device}: no NVIDIA GPU, or no driver that runs"
    why = "whoever publishes is let in, and no stream is made of it"
    return [critical("no stream can be encoded", seen, why, NVENC_MEND)]


async def _measured(host: Host) -> list[Finding]:
    """A file that is not there is asked for by the checklist (`encoding`): a host may do without."""
    if host.settings.admission == "off":
        return []
    file = Path(host.settings.capacity_file)
    try:
        capacity = await asyncio.to_thread(read_capacity, file)
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        seen = f"{file}: {getattr(error, 'strerror', None) or error}"
        return [warning("what can be encoded cannot be read", seen, _UNUSED, PROBE_CPU)]
    return judge_machine(capacity.cpu, Machine.here())


def judge_machine(measured: MeasuredCpu | None, here: Machine) -> list[Finding]:
    """What was measured is of the machine that is `here`."""
    if measured is None or measured.machine == here:
        return []
    seen = f"measured on {measured.machine.cores} cores ({measured.machine.kind}); "
    seen += f"here are {here.cores} ({here.kind})"
    return [warning("what can be encoded was measured on another machine", seen, _UNUSED, PROBE_CPU)]
