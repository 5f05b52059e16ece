"""The GPUs, as NVIDIA's own tool tells of them; nothing where it is not installed.

It needs the devices (/dev/nvidia*), which the unit of the service is let at on hosts with a GPU. Never run on
one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import gauge, put
from appliance.nvidia_smi import figure, query, read_gpus

if TYPE_CHECKING:
    from collections.abc import Iterator

    from prometheus_client.metrics_core import Metric

log = logging.getLogger(__name__)

_SECONDS: Final = 3.0
_PERCENT: Final = 0.01
_MIB: Final = 1024.0 * 1024.0

_FIELDS: Final = {
    "utilization.gpu": ("gpu_utilization_ratio", "Share of the time in which the GPU computed.", _PERCENT),
    "utilization.encoder": ("gpu_encoder_utilization_ratio", "The same of its encoder.", _PERCENT),
    "utilization.decoder": ("gpu_decoder_utilization_ratio", "The same of its decoder.", _PERCENT),
    "memory.used": ("gpu_memory_used_bytes", "Memory of the GPU that is taken.", _MIB),
    "memory.total": ("gpu_memory_bytes", "Memory of the GPU.", _MIB),
    "temperature.gpu": ("gpu_temperature_celsius", "Temperature of the GPU.", 1.0),
    "encoder.stats.sessionCount": ("gpu_encoder_sessions", "Encoder sessions that are open.", 1.0),
}
"""What is asked for: the metric, its help, and the factor to base units."""


async def ask_gpus() -> str:
    """What nvidia-smi prints, "" where there is none or it fails."""
    command = query(_FIELDS)
    if shutil.which(command[0]) is None:
        return ""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
    except OSError as error:  # a host that is short of memory is told of all the same
        log.warning("nvidia-smi: %s", error)
        return ""
    try:
        async with asyncio.timeout(_SECONDS):
            text, _ = await process.communicate()
    except TimeoutError:
        log.warning("nvidia-smi did not answer within %s s", _SECONDS)
        return ""
    finally:
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
    return text.decode("utf-8", "replace") if process.returncode == 0 else ""


def gpu_metrics(text: str) -> Iterator[Metric]:
    """The lines of `text` as metrics; what a GPU does not have ([N/A]) is left out."""
    families = {field: gauge(name, help_text, "gpu") for field, (name, help_text, _) in _FIELDS.items()}
    for index, values in read_gpus(text, _FIELDS).items():
        for field, (_, _, factor) in _FIELDS.items():
            put(families[field], [index], figure(values[field]), factor)
    return (family for family in families.values() if family.samples)
