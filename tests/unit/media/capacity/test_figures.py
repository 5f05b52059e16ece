"""Shares of what was measured, and how the parts of a cost are found."""

from __future__ import annotations

import pytest

from appliance.media.capacity.cpu_probe import split_costs
from appliance.media.capacity.work import Work
from tests.unit.media.capacity.measured import CPU, gpu


def test_the_cpu_pays_for_the_stream_its_source_and_its_rungs() -> None:
    assert CPU.cost(Work()) == pytest.approx(0.1)
    work = Work(100, {"720p": 50, "480p": 20})
    assert CPU.cost(work) == pytest.approx(0.1 + 0.1 + 0.5 + 0.4)
    assert CPU.share(work) == pytest.approx(1.1 / 4)


def test_a_rung_that_was_not_measured_costs_as_the_dearest() -> None:
    assert CPU.cost(Work(0, {"new": 10})) == pytest.approx(0.1 + 0.2)


def test_a_gpu_pays_for_pixels() -> None:
    assert gpu().share(Work(500, {"a": 100, "b": 150})) == pytest.approx(0.25)
    without = gpu(pixels=0.0, reason="no capable device")
    assert not without.encodes
    assert without.share(Work(1, {"a": 1})) == 0
    assert not gpu(sessions=0).encodes


def test_parts_of_a_cost_add_up_to_what_was_measured_together() -> None:
    # 0.1 the stream, 0.2 decoding, rungs of 0.5 and 0.3
    stream, decode, rungs = split_costs(0.1, [0.8, 0.6], 1.1)
    assert [stream, decode, *rungs] == pytest.approx([0.1, 0.2, 0.5, 0.3])


def test_one_rung_takes_the_decoding_with_it() -> None:
    stream, decode, rungs = split_costs(0.1, [0.8], 0.8)
    assert [stream, decode, *rungs] == pytest.approx([0.1, 0, 0.7])


@pytest.mark.parametrize(
    ("copied", "alone", "together"),
    [(0.5, [0.4, 0.6], 0.7), (0.1, [0.5, 0.5], 2.0), (0.0, [0.1, 0.1], 0.0), (0.1, [0.1], 0.1)],
)
def test_measurements_that_contradict_each_other_give_no_part_below_nothing(
    copied: float, alone: list[float], together: float
) -> None:
    stream, decode, rungs = split_costs(copied, alone, together)
    assert stream >= 0
    assert decode >= 0
    assert all(rung >= 0 for rung in rungs)
    assert stream + decode + sum(rungs) <= max(together, sum(alone)) + 1e-9
