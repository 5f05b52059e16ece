"""A GPU that has failed is known to all streams, and tried again after longer and longer."""

from __future__ import annotations

import fcntl
import json
import multiprocessing
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.encode.gpu_marks import LONGEST_PAUSE_S, GpuMarks, by_gpu, read_marks
from tests.unit.media.capacity.measured import gpu_id

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ZERO, ONE = gpu_id(0), gpu_id(1)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Unix time, in its only item."""
    now = [1_000_000.0]
    monkeypatch.setattr("time.time", lambda: now[0])
    return now


def test_what_one_stream_marks_all_know(tmp_path: Path, clock: list[float]) -> None:
    one, other = GpuMarks(tmp_path), GpuMarks(tmp_path)
    one.put(ONE, "CUDA_ERROR_UNKNOWN")
    clock[0] += 2
    other.put(ONE, "hung")
    mark = other.against(ONE)
    assert mark is not None
    assert (mark.text, mark.tries, mark.since) == ("GPU 1 has failed: CUDA_ERROR_UNKNOWN", 1, 1_000_000)
    assert other.against(ZERO) is None
    assert other.against(None) is None, "FFmpeg takes another"
    assert by_gpu(read_marks(tmp_path), [ZERO, ONE]) == {ONE: "GPU 1 has failed: CUDA_ERROR_UNKNOWN"}


def test_where_ffmpeg_chose_by_itself_all_have_failed(tmp_path: Path) -> None:
    marks = GpuMarks(tmp_path)
    marks.put(None, "gone")
    assert by_gpu(read_marks(tmp_path), [ZERO, ONE]) == dict.fromkeys((ZERO, ONE), "the GPU has failed: gone")
    assert marks.against(ZERO) is not None
    assert marks.against(None) is not None


def test_pauses_double_from_half_a_minute_to_ten(tmp_path: Path, clock: list[float]) -> None:
    marks, pauses = GpuMarks(tmp_path), []
    marks.put(ZERO, "gone")
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
        marks.put(ZERO, "gone")
        [mark] = read_marks(tmp_path)
        assert mark.tries == tries
        clock[0] = mark.again_at
        due = marks.due()
        assert due is not None
        marks.tried(due, None)
        assert read_marks(tmp_path) == []
        assert marks.against(ZERO) is None


def test_a_stream_that_died_while_it_tried_leaves_it_to_the_next(tmp_path: Path, clock: list[float]) -> None:
    GpuMarks(tmp_path).put(ZERO, "gone")
    clock[0] += 30
    assert GpuMarks(tmp_path).due() is not None
    clock[0] += 20
    assert GpuMarks(tmp_path).due() is not None


def test_outside_of_a_unit_nothing_is_kept() -> None:
    marks = GpuMarks(None)
    marks.put(ZERO, "gone")
    assert not marks.kept
    assert marks.against(ZERO) is None
    assert marks.due() is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"gpu": null}',
        b'{"gpu": 0, "reason": "", "since": 0, "tries": 1, "again_at": 0, "works_since": null}',
        b'{"gpu": null, "reason": "", "since": NaN, "tries": 1, "again_at": 0, "works_since": null}',
        b"[" * 10_000,
        b"x" * 100_000,
    ],
)
def test_a_broken_file_marks_nothing(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "gpu-GPU-0.json").write_bytes(content)
    assert read_marks(tmp_path) == []
    GpuMarks(tmp_path).put(ZERO, "gone")
    assert len(read_marks(tmp_path)) == 1


def test_what_is_no_file_of_ours_marks_nothing(tmp_path: Path) -> None:
    assert read_marks(tmp_path / "nowhere") == []
    GpuMarks(tmp_path).put(ZERO, "a\nb\x1b[31m" + "c" * 1000)
    [mark] = read_marks(tmp_path)
    assert mark.reason.startswith("a b?[31mccc")
    assert len(mark.reason) == 500
    (tmp_path / "gpu-GPU-1.json").symlink_to(tmp_path / "gpu-GPU-0.json")
    (tmp_path / "gpu-GPU-2.json.bak").write_text(json.dumps({}))
    os.mkfifo(tmp_path / "gpu-GPU-3.json")
    assert len(read_marks(tmp_path)) == 1


def test_streams_that_see_a_failure_at_once_count_it_once_and_one_of_them_tries(
    tmp_path: Path, clock: list[float]
) -> None:
    """Each is a process of its own: who reads a mark and then writes one must be alone with it."""
    processes = multiprocessing.get_context("fork")

    def together(what: Callable[[], object]) -> int:
        """In how many of eight processes `what` returns something."""
        barrier, count = processes.Barrier(8), processes.Value("i", 0)

        def one() -> None:
            barrier.wait()
            if what() is not None:
                with count.get_lock():
                    count.value += 1

        children = [processes.Process(target=one) for _ in range(8)]
        for child in children:
            child.start()
        for child in children:
            child.join()
        assert [child.exitcode for child in children] == [0] * 8
        return int(count.value)

    for _ in range(5):
        together(lambda: GpuMarks(tmp_path).put(ZERO, "gone"))
        [mark] = read_marks(tmp_path)
        assert mark.tries == 1
        clock[0] = mark.again_at
        assert together(GpuMarks(tmp_path).due) == 1
        (tmp_path / "gpu-GPU-0.json").unlink()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu-marks.lock"], "nothing half written"


@pytest.fixture
def held(tmp_path: Path) -> Iterator[None]:
    """Somebody holds the lock, and does not let go."""
    descriptor = os.open(tmp_path / "gpu-marks.lock", os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    yield
    os.close(descriptor)


@pytest.mark.usefixtures("held")
def test_who_keeps_the_lock_holds_up_no_stream(
    tmp_path: Path, clock: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    """What is due is left for the next look; a failure is marked all the same."""
    marks, begun = GpuMarks(tmp_path), time.monotonic()
    marks.put(ZERO, "gone")
    assert time.monotonic() - begun < 1.0
    assert "gpu-marks.lock is held by another process" in caplog.text
    [mark] = read_marks(tmp_path)
    clock[0] = mark.again_at
    begun = time.monotonic()
    assert marks.due() is None
    assert time.monotonic() - begun < 0.1, "in the loop, every five seconds"
    marks.tried(mark, None)
    assert read_marks(tmp_path) == []


def test_where_nothing_is_due_no_lock_is_taken(tmp_path: Path) -> None:
    marks = GpuMarks(tmp_path)
    assert marks.due() is None
    assert not list(tmp_path.iterdir())
    marks.put(ZERO, "gone")
    assert (tmp_path / "gpu-marks.lock").stat().st_mode & 0o777 == 0o600, "the group cannot hold it"


def _write(directory: Path, name: str, **given: Any) -> None:
    mark = {
        "gpu": {"uuid": "GPU-0", "index": 0},
        "reason": "gone",
        "since": 1_000_000.0,
        "tries": 1,
        "again_at": 1_000_030.0,
        "works_since": None,
    }
    (directory / name).write_text(json.dumps({**mark, **given}), encoding="utf-8")


@pytest.mark.parametrize("again_at", [1e308, 1_000_000 + LONGEST_PAUSE_S + 21])
def test_a_time_that_no_pause_reaches_is_due(tmp_path: Path, clock: list[float], again_at: float) -> None:
    """The clock was set back, or somebody wrote nonsense: it must not stay for as long as that."""
    _write(tmp_path, "gpu-GPU-0.json", again_at=again_at)
    marks = GpuMarks(tmp_path)
    [mark] = read_marks(tmp_path)
    assert mark.again_at <= clock[0], "the control service sees it as due, too"
    assert marks.due() == mark
    assert marks.due() is None, "one stream tries"
    marks.put(ZERO, "still gone")
    assert read_marks(tmp_path)[0].again_at == clock[0] + 20


def test_a_gpu_that_has_worked_in_the_future_is_forgiven(tmp_path: Path, clock: list[float]) -> None:
    _write(tmp_path, "gpu-GPU-0.json", tries=9, works_since=clock[0] + 3600)
    GpuMarks(tmp_path).put(ZERO, "gone")
    assert read_marks(tmp_path)[0].tries == 1


@pytest.mark.parametrize("tries", [10**400, 10**4200, 1e308])
def test_tries_without_bound_are_a_number_that_a_metric_can_be(tmp_path: Path, tries: float) -> None:
    _write(tmp_path, "gpu-GPU-0.json", tries=tries)
    [mark] = read_marks(tmp_path)
    assert mark.tries == 1_000_000


def test_a_file_whose_name_is_another_gpus_marks_nothing(tmp_path: Path) -> None:
    _write(tmp_path, "gpu-GPU-1.json")
    _write(tmp_path, "gpu-any.json")
    _write(tmp_path, "gpu-GPU-2.json", gpu=None)
    assert read_marks(tmp_path) == []
    assert GpuMarks(tmp_path).against(ONE) is None
    _write(tmp_path, "gpu-GPU-0.json")
    assert [mark.gpu for mark in read_marks(tmp_path)] == [ZERO]


def test_of_thousands_of_files_only_some_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for index in range(300):
        _write(tmp_path, f"gpu-GPU-{index}.json", gpu={"uuid": f"GPU-{index}", "index": index})
    assert len(read_marks(tmp_path)) == 64
    read: list[Path] = []
    monkeypatch.setattr("appliance.media.encode.gpu_marks.read_plain", lambda path, **_: read.append(path))
    read_marks(tmp_path)
    assert len(read) == 64
    assert GpuMarks(tmp_path).against(ONE) is None
    assert [path.name for path in read[64:]] == ["gpu-GPU-1.json", "gpu-any.json"], "its own is found at once"
