"""Figures as a probe would have measured them, in round numbers."""

from __future__ import annotations

from typing import Any

from appliance.media.capacity.figures import CpuFigures, GpuFigures
from appliance.media.capacity.machine import Machine
from appliance.media.capacity.store import Capacity, MadeWith, MeasuredCpu, MeasuredGpus
from appliance.media.encode.gpus import GpuId

MADE = MadeWith(at="2026-01-01T00:00:00+00:00", ffmpeg="7.1.1", ladder="default", ladder_mark="0123456789ab")

# A megapixel a second of source costs 1 mcore, of a rung 10 or 20.
CPU = CpuFigures(
    cores=4.0,
    stream=0.1,
    decode=0.001,
    rungs={"1080p": 0.01, "720p": 0.01, "480p": 0.02, "360p": 0.02},
    source="1920x1080@30",
    streams=3,
    complete=True,
)


def gpu_id(index: int = 0) -> GpuId:
    """Which GPU `gpu(index)` is."""
    return GpuId(f"GPU-{index}", index)


def gpu(index: int = 0, **given: Any) -> GpuFigures:
    """A GPU that encodes 1000 megapixels a second."""
    given = {"uuid": gpu_id(index).uuid, "name": "NVIDIA L4", "pixels": 1000.0, **given}
    return GpuFigures(index=index, **given)


def capacity(*gpus: GpuFigures, cpu: CpuFigures | None = CPU, machine: Machine | None = None) -> Capacity:
    """All of it, as measured on this machine unless another is given."""
    return Capacity(
        cpu=None
        if cpu is None
        else MeasuredCpu(made=MADE, machine=machine or Machine.here(), model="a CPU", figures=cpu),
        gpus=MeasuredGpus(made=MADE, driver="550.163.01", gpus=gpus) if gpus else None,
    )
