"""The GPUs, as NVIDIA's own tool tells of them, nothing where it is not installed; and which have failed.

The tool needs the devices (/dev/nvidia*), which the unit of the service is let at on hosts with a GPU. Never
run on one.
"""

from __future__ import annotations

import logging
import shutil
from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import gauge, put
from appliance.nvidia_smi import figure, query, read_gpus
from appliance.subprocesses import NOT_THERE, TOO_LONG, TOO_MUCH, run_program

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client.metrics_core import Metric

    from appliance.media.capacity.store import Capacity
    from appliance.media.encode.gpu_marks import Mark

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
    answer = await run_program(*command, seconds=_SECONDS)
    # A host that is short of memory is told of all the same.
    if answer.status in {NOT_THERE, TOO_LONG, TOO_MUCH}:
        log.warning("%s", answer.errors)
    return answer.text if answer.status == 0 else ""


def gpu_metrics(text: str) -> Iterator[Metric]:
    """The lines of `text` as metrics; what a GPU does not have ([N/A]) is left out."""
    families = {field: gauge(name, help_text, "gpu") for field, (name, help_text, _) in _FIELDS.items()}
    for index, values in read_gpus(text, _FIELDS).items():
        for field, (_, _, factor) in _FIELDS.items():
            put(families[field], [index], figure(values[field]), factor)
    return (family for family in families.values() if family.samples)


def failed_gpu_metrics(marks: Iterable[Mark], capacity: Capacity | None) -> Iterator[Metric]:
    """The GPUs that streams have marked as failed, and those of `capacity` that encode."""
    failed = gauge("gpu_failed", "1 while streams find that the GPU does not encode, which did.", "gpu")
    tries = gauge("gpu_failed_tries", "How often the GPU was found so since it last worked.", "gpu")
    marked = {mark.name: mark.tries for mark in marks}
    measured = () if capacity is None else (str(gpu.index) for gpu in capacity.of_gpus)
    for name in sorted({*marked, *measured}):
        failed.add_metric([name], name in marked)
        tries.add_metric([name], marked.get(name, 0))
    return (family for family in (failed, tries) if family.samples)
