"""Processes by what they belong to."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest

from appliance.lab import processes


def test_a_group_that_ends_while_its_parent_is_read_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in (tmp_path, tmp_path / "ends", tmp_path / "stays"):
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.procs").write_text(f"{os.getpid()}\n")
    identify = processes.identify

    def ends(pid: int) -> processes.Process | None:
        shutil.rmtree(tmp_path / "ends", ignore_errors=True)
        return identify(pid)

    monkeypatch.setattr(processes, "identify", ends)
    assert [process.pid for process in processes.in_cgroup(tmp_path)] == [os.getpid()] * 2


def test_what_outlives_us_holds_nothing_of_whoever_called_us(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as lock:
        os.set_inheritable(lock.fileno(), True)
        spawned = processes.spawn(["sleep", "60"], tmp_path / "log", dict(os.environ))
        try:
            held = [path.readlink() for path in Path(f"/proc/{spawned.pid}/fd").iterdir()]
        finally:
            os.kill(spawned.pid, signal.SIGKILL)
            os.waitpid(spawned.pid, 0)
    assert tmp_path / "lock" not in held
    assert len(held) == 3
