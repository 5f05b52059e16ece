"""Where a new stream goes: the GPU with room, else the CPU with room, else nowhere."""

from __future__ import annotations

from dataclasses import replace

import pytest

from appliance.media.capacity.placing import NoRoomError, Running, Use, place, use_of, uses
from appliance.media.capacity.work import Work
from appliance.media.encode.gpus import GpuId
from appliance.media.encode.placement import Placement
from appliance.media.status_reading import Reading
from tests.unit.media.capacity.measured import CPU, capacity, gpu, gpu_id

BIG = Work(60, {"1080p": 60, "720p": 30, "480p": 12})  # 0.34 of a CPU: 1.36 cores of 4
GPU_BIG = Work(0, {"1080p": 300, "720p": 100})  # 0.4 of a GPU
SMALL = Work(0, {})


def test_the_gpu_with_the_most_room_is_taken() -> None:
    known = capacity(gpu(), gpu(1))
    assert place(known, [], BIG, headroom=0.2).gpu == gpu_id(0)
    placement = place(known, [Running(BIG, gpu_id(0))], BIG, headroom=0.2)
    assert placement.gpu == gpu_id(1)
    assert "GPU 1 has room" in placement.reason
    assert place(known, [Running(BIG, gpu_id(0))], BIG, headroom=0.2, encoder="x264").gpu is None


def test_a_full_gpu_leaves_it_to_the_cpu() -> None:
    known = capacity(gpu())
    running = [Running(GPU_BIG, gpu_id(0))]
    assert place(known, running, GPU_BIG, headroom=0.2).gpu == gpu_id(0)
    running.append(Running(GPU_BIG, gpu_id(0)))
    assert place(known, running, Work(0, {"720p": 30}), headroom=0.2).gpu is None


def test_a_session_is_a_rung_and_the_driver_gives_so_many() -> None:
    known = capacity(gpu(sessions=8, name="NVIDIA GeForce RTX 4090"))
    three = Work(0, {"a": 1, "b": 1, "c": 1})
    assert place(known, [Running(three, gpu_id(0))], three, headroom=0.2).gpu == gpu_id(0)
    assert place(known, [Running(three, gpu_id(0))] * 2, three, headroom=0.2).gpu is None
    with pytest.raises(NoRoomError, match="GPU 0 has 6 of 8 sessions, the stream needs 3"):
        place(known, [Running(three, gpu_id(0))] * 2, three, headroom=0.2, encoder="nvenc")


def test_a_gpu_that_encodes_nothing_is_not_there() -> None:
    known = capacity(gpu(pixels=0.0, name="NVIDIA H200", reason="no NVENC"))
    assert place(known, [], BIG, headroom=0.2).gpu is None


def test_the_cpu_is_given_away_but_for_the_headroom() -> None:
    known = capacity()
    assert place(known, [Running(BIG)], BIG, headroom=0.2).gpu is None
    with pytest.raises(NoRoomError, match=r"the CPU has 0\.\d+ of 0\.80 taken, and the stream may take 0\.3"):
        place(known, [Running(BIG)] * 2, BIG, headroom=0.2)
    assert place(known, [Running(BIG)] * 2, SMALL, headroom=0.2).gpu is None


def test_an_idle_cpu_takes_a_stream_whatever_it_costs() -> None:
    huge = Work(1000, {"1080p": 1000})
    placement = place(capacity(), [], huge, headroom=0.2)
    assert placement.reason.startswith("nothing else is encoded by the CPU")
    assert place(capacity(gpu()), [Running(GPU_BIG, gpu_id(0))], huge, headroom=0.2).gpu is None
    with pytest.raises(NoRoomError):
        place(capacity(), [Running(SMALL)], huge, headroom=0.2)


def test_a_cpu_that_was_not_measured_takes_all() -> None:
    placement = place(capacity(gpu(sessions=0), cpu=None), [Running(BIG)] * 9, BIG, headroom=0.2)
    assert placement == Placement(None, "what the CPU carries was not measured")


def test_what_is_taken_of_each_device() -> None:
    known = capacity(gpu(sessions=8), gpu(1))
    found = uses(known, [Running(Work(100, {"720p": 50})), Running(GPU_BIG, gpu_id(0))])
    assert [use.share for use in found] == pytest.approx([(0.1 + 0.1 + 0.5 + 0.1) / 4, 0.4, 0])
    assert [replace(use, share=0) for use in found] == [
        Use("cpu", 0, 1),
        Use("gpu0", 0, 2, 8),
        Use("gpu1", 0, 0, None),
    ]


def test_where_a_gpu_decodes_nothing_the_cpu_needs_room_for_that() -> None:
    """100 megapixels a second of source cost 0.1 cores, and the stream itself as much, of four."""
    known = capacity(gpu(decodes=False))
    work = Work(100, {"720p": 10})
    on_gpu = [Running(work, gpu_id(0))]
    assert [use.share for use in uses(known, on_gpu)] == pytest.approx([0.2 / 4, 0.01])
    assert place(known, on_gpu * 14, work, headroom=0.2).gpu == gpu_id(0)
    with pytest.raises(NoRoomError, match=r"the CPU, which decodes for GPU 0, has 0\.80 of 0\.80 taken"):
        place(known, on_gpu * 16, work, headroom=0.2, encoder="nvenc")
    assert place(capacity(gpu(decodes=False), cpu=None), on_gpu * 16, work, headroom=0.2).gpu == gpu_id(0)


def test_where_only_gpus_may_encode_and_none_was_measured_the_cpu_is_not_asked() -> None:
    running = [Running(BIG)] * 9
    assert place(capacity(cpu=CPU), running, BIG, headroom=0.2, encoder="nvenc").gpu is None


def test_a_gpu_is_known_by_its_uuid_whatever_its_index_is_now() -> None:
    known = capacity(gpu(0), gpu(1, pixels=100.0))
    rungs = [{"name": "720p", "width": 1000, "height": 1000, "fps": 10.0, "copied": False}]

    def share(**encoder: object) -> Use | None:
        return use_of(Reading({"rungs": rungs, "encoder": {"family": "nvenc", **encoder}}), known)

    assert share(gpu={"uuid": "GPU-1", "index": 0}) == Use("gpu0", 0.1, 1)
    assert share() == Use("gpu0", 0.01, 1), "who names none encodes on the first"
    assert share(gpu=1) == Use("gpu1", 0.1, 1), "as a process of before an upgrade says it"
    assert GpuId("GPU-1", 0) == gpu_id(1)
