"""The CPU's probe with FFmpegs that take as much of it as a test says."""

from __future__ import annotations

import pytest

from appliance.media.capacity.cpu_probe import probe_cpu
from appliance.media.capacity.material import Clip
from appliance.media.capacity.reference import Reference
from appliance.media.capacity.trial import Session
from appliance.media.capacity.work import Work
from appliance.media.encode.command import RunPlan
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.settings import Settings

CORES = 4.0
COSTS = {"720p": 0.4, "480p": 0.25, "360p": 0.15}
STREAM, DECODE = 0.05, 0.1


async def sessions(plan: RunPlan, _clip: Clip, count: int, _seconds: float, *, ffmpeg: str) -> list[Session]:
    """A machine on which one session gets at most two cores."""
    assert ffmpeg == "ffmpeg"
    cost = STREAM + sum(COSTS[rung.name] for rung in plan.encoded) + (DECODE if plan.encoded else 0)
    cores = min(2.0, CORES / count)
    return [Session(cores / cost, cores, 1 << 20)] * count


async def test_costs_and_what_is_carried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.media.capacity.cpu_probe.trial", sessions)
    source = described_source("1280x720@30")
    ladder = load_ladder(ladder_path("default"))
    reference = Reference.of(source, ladder, Settings(), EncoderChoice("x264", "test"))
    said: list[str] = []

    figures = await probe_cpu(
        reference,
        Clip(source, (), ()),
        name="1280x720@30",
        step_seconds=5,
        seconds=60,
        tell=said.append,
    )

    whole = Work.of(source, reference.whole.rungs)
    assert figures.cores == pytest.approx(CORES)
    assert figures.cost(whole) == pytest.approx(0.95)
    assert figures.cost(Work()) == pytest.approx(STREAM)
    alone = Work(whole.source, {"480p": whole.rungs["480p"]})
    assert figures.cost(alone) == pytest.approx(STREAM + DECODE + 0.25)
    assert (figures.streams, figures.complete, figures.source) == (4, True, "1280x720@30")
    assert [step.sessions for step in figures.steps] == [1, 2, 4, 5]
    assert said[0] == "the source as it is: 0.050 cores"
    assert said[-1] == "5 sessions: slowest 0.84 of real time, together 4.21"


def test_what_is_measured_is_what_a_stream_runs() -> None:
    settings = Settings(container="mpegts", segment_seconds=4, part_seconds=0.3)
    reference = Reference.of(
        described_source("1280x720@30"),
        load_ladder(ladder_path("default")),
        settings,
        EncoderChoice("x264", "test"),
    )
    whole = reference.whole
    assert (whole.container, whole.segment_seconds, whole.part_seconds) == ("mpegts", 4, 0.3)
    assert [rung.name for rung in whole.encoded] == ["720p", "480p", "360p"]
    assert [[rung.name for rung in plan.rungs] for plan in reference.alone] == [["720p"], ["480p"], ["360p"]]
    assert reference.copied.encoded == ()
    assert len(reference.copied.rungs) == 1
