"""What nvidia-smi prints, as metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from appliance.control.metrics.gpu import ask_gpus, failed_gpu_metrics, gpu_metrics
from appliance.media.encode.gpu_marks import Mark
from tests.unit.media.capacity.measured import capacity, gpu, gpu_id

if TYPE_CHECKING:
    from pathlib import Path

# As driver 580 prints it of an H200: shares of GPU, encoder and decoder; MiB used and in all; °C; sessions.
# The second GPU says less.
PRINTED = "0, 100, 0, 3, 1024, 143771, 37, 0\n1, 5, [N/A], [N/A], 10, 81559, 30, [N/A]\nUnable to say, x\n"


def test_every_gpu_in_base_units() -> None:
    seen = {
        (sample.name.removeprefix("appliance_gpu_"), sample.labels["gpu"]): sample.value
        for family in gpu_metrics(PRINTED)
        for sample in family.samples
    }
    assert seen["utilization_ratio", "0"] == 1
    assert seen["decoder_utilization_ratio", "0"] == pytest.approx(0.03)
    assert seen["memory_used_bytes", "0"] == 2**30
    assert seen["temperature_celsius", "1"] == 30
    assert ("encoder_sessions", "1") not in seen
    assert {gpu for _, gpu in seen} == {"0", "1"}


def test_a_host_without_one_tells_of_none() -> None:
    assert list(gpu_metrics("")) == []


def test_a_gpu_that_has_failed_is_told_of_and_one_that_was_measured_too() -> None:
    marks = [Mark(None, "gone", 0.0, 3, 60.0), Mark(gpu_id(1), "gone", 0.0, 1, 30.0)]
    seen = {
        (sample.name, sample.labels["gpu"]): sample.value
        for family in failed_gpu_metrics(marks, capacity(gpu(0), gpu(1), gpu(2, pixels=0.0)))
        for sample in family.samples
    }
    assert seen == {
        ("appliance_gpu_failed", "0"): 0,
        ("appliance_gpu_failed", "1"): 1,
        ("appliance_gpu_failed", "any"): 1,
        ("appliance_gpu_failed_tries", "0"): 0,
        ("appliance_gpu_failed_tries", "1"): 1,
        ("appliance_gpu_failed_tries", "any"): 3,
    }
    assert list(failed_gpu_metrics([], None)) == []


@pytest.mark.parametrize("does", ["exit 9", "echo broken; exit 1", "exec sleep 60"])
async def test_a_tool_that_fails_or_hangs_costs_no_scrape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str
) -> None:
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    monkeypatch.setattr("appliance.control.metrics.gpu._SECONDS", 0.2)
    assert await ask_gpus() == ""
