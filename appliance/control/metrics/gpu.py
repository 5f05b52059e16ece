"""The GPUs, as NVIDIA's own tool tells of them; nothing where it is not installed.

`nvidia-smi --help-query-gpu` explains the fields. It needs the devices (/dev/nvidia*), which the unit of the
service is not let at before a role brings the driver; until then this is for hosts whose unit was changed.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import shutil
from typing import TYPE_CHECKING, Final

from appliance.control.metrics.families import gauge

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
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    query = ",".join(("index", *_FIELDS))
    process = await asyncio.create_subprocess_exec(
        program,
        f"--query-gpu={query}",
        "--format=csv,noheader,nounits",
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
    )
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
    for line in text.splitlines():
        index, *values = (cell.strip() for cell in line.split(","))
        if not index.isdigit() or len(values) != len(_FIELDS):
            continue
        for (field, (_, _, factor)), value in zip(_FIELDS.items(), values, strict=True):
            with contextlib.suppress(ValueError):
                if math.isfinite(number := float(value)):
                    families[field].add_metric([index], number * factor)
    return (family for family in families.values() if family.samples)
