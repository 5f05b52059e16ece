"""Which GPU is meant, and that FFmpeg is given no other."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import pytest

from appliance.media.encode.ffmpeg import FFmpeg
from appliance.media.encode.gpus import GpuId, listed_gpus


def test_a_gpu_is_the_same_whatever_its_index_is_now() -> None:
    """GPU 0 has fallen off the bus, and those behind it have moved up."""
    gpu = GpuId("GPU-5ae2b4d1-0004", 1)
    assert gpu == GpuId("GPU-5ae2b4d1-0004", 0) != GpuId("GPU-5ae2b4d1-0003", 1)
    assert len({gpu, GpuId("GPU-5ae2b4d1-0004", 0)}) == 1
    assert str(gpu) == "GPU 1"
    assert GpuId.parse(asdict(gpu)) == gpu


@pytest.mark.parametrize(
    "kept", [None, 1, {}, {"uuid": "GPU-a"}, {"uuid": "GPU-a/b", "index": 0}, {"uuid": "GPU-a", "index": "x"}]
)
def test_what_names_no_gpu_is_refused(kept: object) -> None:
    with pytest.raises((ValueError, TypeError, KeyError)):
        GpuId.parse(kept)


def test_a_uuid_that_the_driver_does_not_know_yet_is_none() -> None:
    line = "0, GPU-????????-????-????-????-????????????, NVIDIA L4, 550.163.01, [N/A]\n"
    assert listed_gpus(line) == []


@pytest.mark.parametrize("index", ["²", "٣", "9" * 5000, "12345", "-1", ""])
def test_a_line_whose_index_is_none_is_left_out(index: str) -> None:
    text = f"{index}, GPU-a, NVIDIA L4, 550.163.01, [N/A]\n7, GPU-b, NVIDIA L4, 550.163.01, [N/A]\n"
    assert [(gpu.index, gpu.uuid) for gpu in listed_gpus(text)] == [(7, "GPU-b")]


def test_a_gpu_that_is_listed_twice_is_one() -> None:
    text = "".join(
        f"{index}, {uuid}, L4, 550, [N/A]\n" for index, uuid in enumerate(("GPU-a", "GPU-b", "GPU-a"))
    )
    assert [(gpu.index, gpu.uuid) for gpu in listed_gpus(text)] == [(0, "GPU-a"), (1, "GPU-b")]


@pytest.mark.parametrize(("gpu", "sees"), [(GpuId("GPU-a1", 3), "GPU-a1"), (None, "all")])
async def test_an_ffmpeg_sees_the_gpu_that_it_was_given_alone(
    gpu: GpuId | None, sees: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    said: list[bytes] = []
    ffmpeg = await FFmpeg.start(
        lambda outputs, _: ["sh", "-c", f"echo ${{CUDA_VISIBLE_DEVICES-all}} > /dev/fd/{outputs[0]}"],
        ["a"],
        lambda _, data: said.append(data),
        gpu=gpu,
    )
    async with asyncio.timeout(10):
        await ffmpeg.ended
    assert b"".join(said).decode().strip() == sees
