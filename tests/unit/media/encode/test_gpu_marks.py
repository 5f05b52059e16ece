"""A GPU that has failed is known to all streams, and tried again after longer and longer."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from appliance.media.encode.gpu_marks import GpuMarks, by_gpu, read_marks


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Unix time, in its only item."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_what_one_stream_marks_all_know(tmp_path: Path, clock: list[float]) -> None:
    one, other = GpuMarks(tmp_path), GpuMarks(tmp_path)
    one.put(1, "CUDA_ERROR_UNKNOWN")
    clock[0] += 2
    other.put(1, "hung")
    mark = other.against(1)
    assert mark is not None
    assert (mark.text, mark.tries, mark.since) == ("GPU 1 has failed: CUDA_ERROR_UNKNOWN", 1, 1_000_000)
    assert other.against(0) is None
    assert other.against(None) is None, "FFmpeg takes another"
    assert by_gpu(read_marks(tmp_path), [0, 1]) == {1: "GPU 1 has failed: CUDA_ERROR_UNKNOWN"}


def test_where_ffmpeg_chose_by_itself_all_have_failed(tmp_path: Path) -> None:
    marks = GpuMarks(tmp_path)
    marks.put(None, "gone")
    assert by_gpu(read_marks(tmp_path), [0, 1]) == dict.fromkeys((0, 1), "the GPU has failed: gone")
    assert marks.against(0) is not None
    assert marks.against(None) is not None


def test_pauses_double_from_half_a_minute_to_ten(tmp_path: Path, clock: list[float]) -> None:
    marks, pauses = GpuMarks(tmp_path), []
    marks.put(0, "gone")
    for _ in range(8):
        [mark] = read_marks(tmp_path)
        pauses.append(mark.again_at - clock[0])
        clock[0] = mark.again_at - 0.1
        assert marks.due() is None
        clock[0] += 0.1
        due = marks.due()
        assert due is not None
        assert GpuMarks(tmp_path).due() is None, "one stream tries"
        marks.tried(due, "still gone")
    assert pauses == [30, 60, 120, 240, 480, 600, 600, 600]
    assert read_marks(tmp_path)[0].reason == "still gone"
    assert read_marks(tmp_path)[0].since == 1_000_000


def test_one_that_works_again_is_free_and_soon_forgiven(tmp_path: Path, clock: list[float]) -> None:
    marks = GpuMarks(tmp_path)
    for forgiven, tries in ((0.0, 1), (599.0, 2), (601.0, 1)):
        clock[0] += forgiven
        marks.put(0, "gone")
        [mark] = read_marks(tmp_path)
        assert mark.tries == tries
        clock[0] = mark.again_at
        due = marks.due()
        assert due is not None
        marks.tried(due, None)
        assert read_marks(tmp_path) == []
        assert marks.against(0) is None


def test_a_stream_that_died_while_it_tried_leaves_it_to_the_next(tmp_path: Path, clock: list[float]) -> None:
    GpuMarks(tmp_path).put(0, "gone")
    clock[0] += 30
    assert GpuMarks(tmp_path).due() is not None
    clock[0] += 20
    assert GpuMarks(tmp_path).due() is not None


def test_outside_of_a_unit_nothing_is_kept() -> None:
    marks = GpuMarks(None)
    marks.put(0, "gone")
    assert not marks.kept
    assert marks.against(0) is None
    assert marks.due() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"gpu": 0}',
        b'{"gpu": 0, "reason": "", "since": NaN, "tries": 1, "again_at": 0, "works_since": null}',
        b"[" * 10_000,
        b"x" * 100_000,
    ],
)
def test_a_broken_file_marks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gpu-0.json").write_bytes(content)
    assert read_marks(tmp_path) == []
    GpuMarks(tmp_path).put(0, "gone")
    assert len(read_marks(tmp_path)) == 1


def test_what_is_no_file_of_ours_marks_nothing(tmp_path: Path) -> None:
    assert read_marks(tmp_path / "nowhere") == []
    GpuMarks(tmp_path).put(0, "a\nb\x1b[31m" + "c" * 1000)
    [mark] = read_marks(tmp_path)
    assert mark.reason.startswith("a b?[31mccc")
    assert len(mark.reason) == 500
    (tmp_path / "gpu-1.json").symlink_to(tmp_path / "gpu-0.json")
    (tmp_path / "gpu-2.json.bak").write_text(json.dumps({}))
    os.mkfifo(tmp_path / "gpu-3.json")
    assert len(read_marks(tmp_path)) == 1
