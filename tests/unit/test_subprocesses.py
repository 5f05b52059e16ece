"""A program that is run to its end, and one that has none."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import time
from typing import TYPE_CHECKING

import pytest

from appliance.subprocesses import MOST_BYTES, NOT_THERE, TOO_LONG, TOO_MUCH, run_program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[asyncio.subprocess.Process]]:
    """A driver holds what is killed, so that it stays: the processes that were to die."""
    killed: list[asyncio.subprocess.Process] = []
    kill = asyncio.subprocess.Process.kill

    def note(process: asyncio.subprocess.Process) -> None:
        killed.append(process)

    monkeypatch.setattr(asyncio.subprocess.Process, "kill", note)
    monkeypatch.setattr("appliance.subprocesses._DIES_S", 0.1)
    yield killed
    for process in killed:
        with contextlib.suppress(ProcessLookupError):
            kill(process)


async def test_what_a_program_says() -> None:
    done = await run_program(
        "sh", "-c", "cat; echo $WHO >&2; exit 3", seconds=5, given=b"in", environment={"WHO": "me"}
    )
    assert (done.status, done.text, done.errors, done.said) == (3, "in", "me\n", "me")
    assert (await run_program("/nowhere/program", seconds=5)).status == NOT_THERE


async def test_one_that_takes_too_long_is_killed() -> None:
    begun = time.monotonic()
    done = await run_program("sleep", "60", seconds=0.1)
    assert (done.status, done.said) == (TOO_LONG, "sleep took longer than 0.1 s")
    assert time.monotonic() - begun < 5


@pytest.mark.parametrize("to", ["1", "2"])
async def test_one_that_prints_without_end_is_killed(tmp_path: Path, to: str) -> None:
    before, begun = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.monotonic()
    script = f"echo $$ > {tmp_path}/pid; exec yes 0,aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa >&{to}"
    done = await run_program("sh", "-c", script, seconds=20)
    assert (done.status, done.text, done.said) == (TOO_MUCH, "", "sh printed more than 1048576 bytes")
    assert time.monotonic() - begun < 5
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 32 * 1024  # KiB
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_all_of_what_is_allowed_comes_back() -> None:
    script = "head -c 300000 /dev/zero >&2; cat"
    done = await run_program("sh", "-c", script, seconds=20, given=b"x" * MOST_BYTES)
    assert (done.status, len(done.text), len(done.errors)) == (0, MOST_BYTES, 300000)
    done = await run_program("sh", "-c", script, seconds=20, given=b"x" * MOST_BYTES, most=MOST_BYTES - 1)
    assert done.status == TOO_MUCH
    done = await run_program("true", seconds=20, given=b"x" * MOST_BYTES)
    assert (done.status, done.text) == (0, "")


async def test_one_that_does_not_die_holds_nobody_and_is_not_started_again(
    held: list[asyncio.subprocess.Process], tmp_path: Path
) -> None:
    """A tool that a driver holds, as it asks for a GPU that is lost: each scrape of the metrics asks it."""
    begun = time.monotonic()
    script = f"echo begun >> {tmp_path}/log; exec sleep 60"
    for _ in range(3):
        done = await run_program("sh", "-c", script, seconds=0.3)
        assert done.status == TOO_LONG
    assert time.monotonic() - begun < 5
    assert done.said == "sh was killed before and does not go"
    assert (tmp_path / "log").read_text() == "begun\n"
    assert (await run_program("sh", "-c", "echo other", seconds=5)).text == "other\n"
    [process] = held
    process.send_signal(9)
    await process.wait()
    await run_program("sh", "-c", script, seconds=0.3)
    assert (tmp_path / "log").read_text() == "begun\nbegun\n", "it is gone, so it may be tried again"
