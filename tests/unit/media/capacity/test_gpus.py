"""What nvidia-smi and FFmpeg say of real cards, as their documentation and reports have it.

The lines have the form of `nvidia-smi --query-gpu=index,uuid,name,driver_version,mig.mode.current
--format=csv,noheader,nounits`; numbers and UUIDs are made up.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from appliance.errors import OperatorError
from appliance.media.capacity.figures import GpuFigures, Step
from appliance.media.capacity.gpu_probe import found, most_sessions, probe_gpu
from appliance.media.capacity.material import Clip
from appliance.media.capacity.reference import Reference
from appliance.media.capacity.rising import Rise
from appliance.media.capacity.trial import Session, TrialError
from appliance.media.capacity.work import Work
from appliance.media.encode.described import described_source
from appliance.media.encode.encoder import EncoderChoice
from appliance.media.encode.gpus import Gpu, find_gpus, listed_gpus
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.media.encode.command import RunPlan

T4 = "0, GPU-5ae2b4d1-0001-0001-0001-000000000001, Tesla T4, 535.183.01, [N/A]\n"
L4 = "0, GPU-5ae2b4d1-0002-0002-0002-000000000002, NVIDIA L4, 550.163.01, [N/A]\n"
TWO_A10 = (
    "0, GPU-5ae2b4d1-0003-0003-0003-000000000003, NVIDIA A10, 550.163.01, [N/A]\n"
    "1, GPU-5ae2b4d1-0004-0004-0004-000000000004, NVIDIA A10, 550.163.01, [N/A]\n"
)
RTX = "0, GPU-5ae2b4d1-0005-0005-0005-000000000005, NVIDIA GeForce RTX 4090, 550.163.01, [N/A]\n"
H200 = "0, GPU-5ae2b4d1-0006-0006-0006-000000000006, NVIDIA H200, 580.65.06, Disabled\n"
MIG = (
    "0, GPU-5ae2b4d1-0007-0007-0007-000000000007, NVIDIA H100 80GB HBM3, 550.163.01, Enabled\n"
    "1, GPU-5ae2b4d1-0008-0008-0008-000000000008, NVIDIA H100 80GB HBM3, 550.163.01, Disabled\n"
)
LOST = "Unable to determine the device handle for GPU0000:01:00.0: GPU is lost.  Reboot the system\n"


@pytest.mark.parametrize(
    ("printed", "names", "mig"),
    [
        (T4, ["Tesla T4"], [False]),
        (L4, ["NVIDIA L4"], [False]),
        (TWO_A10, ["NVIDIA A10", "NVIDIA A10"], [False, False]),
        (RTX, ["NVIDIA GeForce RTX 4090"], [False]),
        (H200, ["NVIDIA H200"], [False]),
        (MIG, ["NVIDIA H100 80GB HBM3", "NVIDIA H100 80GB HBM3"], [True, False]),
        (LOST + L4, ["NVIDIA L4"], [False]),
        (LOST, [], []),
        ("No devices were found\n", [], []),
    ],
)
def test_cards_as_nvidia_smi_lists_them(printed: str, names: list[str], mig: list[bool]) -> None:
    gpus = listed_gpus(printed)
    assert [gpu.name for gpu in gpus] == names
    assert [gpu.mig for gpu in gpus] == mig
    assert [gpu.index for gpu in gpus] == list(range(len(gpus)))
    assert all(gpu.uuid.startswith("GPU-") and gpu.driver.count(".") == 2 for gpu in gpus)


@pytest.mark.parametrize(
    ("does", "why"),
    [
        ("echo 'No devices were found'; exit 6", "No devices were found"),
        ("echo 'NVIDIA-SMI has failed because of the driver.'; exit 9", "NVIDIA-SMI has failed"),
        ("exit 1", "prints nothing, exit status 1"),
    ],
)
async def test_a_host_without_a_gpu_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, does: str, why: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(OperatorError, match="nvidia-smi: No such file or directory") as error:
        await find_gpus()
    assert "appliance cpu probe" in str(error.value)
    program = tmp_path / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{does}\n")
    program.chmod(0o755)
    with pytest.raises(OperatorError, match=why):
        await find_gpus()


@pytest.mark.parametrize("most", [6, 7, 8])
async def test_the_drivers_sessions_are_counted_one_by_one(most: int) -> None:
    """RTX 4090 with a driver that gives 6 to 8: two ladders of three rungs run, the third is refused."""
    tried = []

    async def run(count: int) -> Sequence[Session]:
        tried.append(count)
        if count > most:
            raise TrialError("incompatible client key (21)")
        return [Session(9.0, 0.1, 1)] * count

    assert await most_sessions(6, 9, run) == most
    assert len(tried) <= 2


def test_a_gpus_speed_is_in_pixels_of_all_rungs() -> None:
    rising = Rise((Step(1, 9.0, 9.0), Step(9, 0.9, 8.1)), (), "speed")
    nothing = GpuFigures(index=0, uuid="GPU-1", name="NVIDIA L4", source="1280x720@30")
    figures = found(nothing, rising, Work(27, {"a": 30.0, "b": 10.0}), None)
    assert figures.pixels == pytest.approx(8.1 * 40)
    assert (figures.streams, figures.sessions, figures.encodes) == (8, None, True)
    assert figures.reason == ""


async def test_a_gpu_in_mig_mode_is_left_out_with_the_reason() -> None:
    gpu = listed_gpus(MIG)[0]
    nothing: object = None
    figures = await probe_gpu(gpu, nothing, nothing, name="", step_seconds=1, seconds=1, tell=print)  # type: ignore[arg-type]
    assert not figures.encodes
    assert "MIG" in figures.reason


def test_a_gpu_is_what_it_is_called() -> None:
    assert listed_gpus(T4) == [
        Gpu(0, "GPU-5ae2b4d1-0001-0001-0001-000000000001", "Tesla T4", "535.183.01", mig=False)
    ]


@dataclass
class Card:
    """What FFmpeg would say of a card: sessions that the driver gives, and how fast all of them are."""

    sessions: int
    together: float
    says: str
    decodes: bool = True
    first: float | None = None
    plans: list[RunPlan] = field(default_factory=list)

    async def trial(
        self, plan: RunPlan, _clip: object, count: int, _seconds: float, *, ffmpeg: str
    ) -> list[Session]:
        """In place of `appliance.media.capacity.trial`."""
        assert ffmpeg == "ffmpeg"
        self.plans.append(plan)
        if plan.gpu_decodes and not self.decodes:
            raise TrialError("cuvid is not there")
        if count * len(plan.rungs) > self.sessions:
            raise TrialError(self.says)
        together = self.first if self.first is not None and count == 1 else self.together
        return [Session(together / count, 0.1, 1 << 20)] * count

    async def probe(self, monkeypatch: pytest.MonkeyPatch, listed: str) -> GpuFigures:
        """The whole probe of the first GPU."""
        monkeypatch.setattr("appliance.media.capacity.gpu_probe.trial", self.trial)
        source = described_source("1280x720@30")
        ladder = load_ladder(ladder_path("default"))
        reference = Reference.of(source, ladder, Settings(), EncoderChoice("nvenc", "test"))
        clip = Clip(source, (), ())
        gpu = listed_gpus(listed)[0]
        return await probe_gpu(
            gpu, reference, clip, name="s", step_seconds=1, seconds=60, tell=lambda _: None
        )


async def test_a_data_centre_gpu_without_nvenc_carries_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(0, 0, "OpenEncodeSessionEx failed: unsupported device (2): (no details)")
    figures = await card.probe(monkeypatch, H200)
    assert (figures.encodes, figures.pixels, figures.streams) == (False, 0, 0)
    assert figures.reason.startswith("this GPU has no NVENC")
    assert [plan.gpu_decodes for plan in card.plans] == [True, False], "the decoder is not to blame"


async def test_a_consumer_card_is_bound_by_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(8, 40.0, "OpenEncodeSessionEx failed: incompatible client key (21): (no details)")
    figures = await card.probe(monkeypatch, RTX)
    assert (figures.streams, figures.sessions) == (2, 8), "rungs are sessions: three for each stream"
    assert "no more encodes" in figures.reason
    assert figures.pixels == pytest.approx(40 * 46.8576)


async def test_a_server_card_is_bound_by_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    card = Card(1000, 12.5, "", decodes=False)
    figures = await card.probe(monkeypatch, TWO_A10)
    assert (figures.streams, figures.sessions, figures.reason) == (12, None, "")
    assert not card.plans[-1].gpu_decodes
    assert {plan.encoder.gpu for plan in card.plans} == {listed_gpus(TWO_A10)[0].id}
    assert (figures.decodes, figures.limit) == (False, "speed")


async def test_a_refusal_is_kept_though_the_last_step_was_too_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """Eleven sessions are three ladders, of which the card carries two in real time."""
    card = Card(11, 2.5, "OpenEncodeSessionEx failed: incompatible client key (21): (no details)")
    card.first = 9.0
    figures = await card.probe(monkeypatch, RTX)
    assert (figures.limit, figures.streams, figures.sessions) == ("speed", 2, 11)


@pytest.mark.parametrize(
    ("says", "encodes"),
    [
        ("nothing came out within 30 s", True),
        ("killed by SIGKILL", True),
        ("cuInit(0) failed -> CUDA_ERROR_NO_DEVICE: no CUDA-capable device is detected", False),
    ],
)
async def test_what_fails_in_another_way_is_no_limit_of_the_drivers(
    monkeypatch: pytest.MonkeyPatch, says: str, *, encodes: bool
) -> None:
    figures = await Card(8, 40.0, says).probe(monkeypatch, RTX)
    assert (figures.encodes, figures.sessions) == (encodes, None)
    assert says in figures.reason
    if encodes:
        assert (figures.limit, figures.complete, figures.streams) == ("failed", False, 1)


async def test_sessions_are_counted_no_further_when_a_trial_fails_in_another_way() -> None:
    async def run(_: int) -> Sequence[Session]:
        raise TrialError("nothing came out within 30 s")

    assert await most_sessions(6, 9, run) == 6
