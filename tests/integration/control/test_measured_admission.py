"""From measuring to refusing, with nothing stood in for but systemd: probe, nginx, the streams' processes.

As many streams as fit are let in, the next is refused, and those that run keep up with their source.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from appliance.media.capacity.store import read_capacity
from appliance.media.status_reading import Reading, read_status
from tests.integration.control.conftest import eventually
from tests.support.encoder import Clip, Publisher

if TYPE_CHECKING:
    from tests.integration.control.conftest import Site

PROGRAM = "from appliance.cli.main import main; main()"
NAMES = [f"s{number}" for number in range(40)]
SOURCE = "854x480@30"
WATCHED_SECONDS = 15


@pytest.fixture
def settings(settings: dict[str, Any], tmp_path: Path) -> dict[str, Any]:
    return {
        **settings,
        "allowed_stream_keys": NAMES,
        "capacity_file": str(tmp_path / "capacity.json"),
        "admission_source": SOURCE,
        "copy_source": "never",
        "encoder": "x264",
        "encryption": "none",
        "grace_seconds": 2,
    }


@pytest.fixture
def clip(tmp_path: Path) -> Clip:
    path = tmp_path / "clip.flv"
    command = [
        "ffmpeg",
        "-v",
        "error",
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=854x480:r=30:d=20,noise=alls=6:allf=t",
    ]
    command += ["-f", "lavfi", "-i", "sine=r=48000:d=20", "-ac", "2", "-c:a", "aac", "-b:a", "96k"]
    command += ["-c:v", "libx264", "-preset", "superfast", "-g", "60", "-b:v", "1400k", "-maxrate", "1400k"]
    subprocess.run([*command, "-bufsize", "1400k", "-pix_fmt", "yuv420p", str(path)], check=True)
    return Clip(path)


async def appliance(*arguments: str, tmp_path: Path) -> asyncio.subprocess.Process:
    """A command of ours, whose messages go to a file."""
    with (tmp_path / "streams.log").open("ab") as log:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", PROGRAM, *arguments),
            env={**os.environ, "CREDENTIALS_DIRECTORY": str(tmp_path / "credentials")},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )


async def run_stream(stream: str, tmp_path: Path) -> None:
    """What the unit of `stream` does."""
    (tmp_path / "hls" / stream).mkdir(parents=True, exist_ok=True)
    config = str(tmp_path / "appliance.yml")
    process = await appliance("stream", "run", stream, "--config", config, tmp_path=tmp_path)
    try:
        await process.wait()
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


def status(stream: str, tmp_path: Path) -> Reading:
    return read_status(tmp_path / "hls" / stream) or Reading({})


def rungs(stream: str, tmp_path: Path) -> list[Reading]:
    return status(stream, tmp_path).items("rungs")


def decisions(site: Site, stream: str) -> list[dict[str, Any]]:
    return [event for event in site.control.events("publish") if event["stream"] == stream]


async def test_what_was_measured_runs_and_one_more_is_refused(site: Site, tmp_path: Path, clip: Clip) -> None:
    site.systemd._run = lambda stream: run_stream(stream, tmp_path)
    probe = await appliance(
        *("cpu", "probe", "--settings", str(tmp_path / "appliance.yml"), "--step", "2", "--minutes", "0.5"),
        tmp_path=tmp_path,
    )
    assert await probe.wait() == 0
    measured = read_capacity(tmp_path / "capacity.json").cpu
    assert measured is not None

    running: list[str] = []
    async with AsyncExitStack() as stack:
        for stream in NAMES:
            publisher = Publisher(f"{site.nginx.url}/{stream}", clip)
            await asyncio.to_thread(publisher.__enter__)
            stack.push_async_callback(asyncio.to_thread, publisher.stop)
            await eventually(partial(decisions, site, stream), 30)
            [decision] = decisions(site, stream)
            if decision["verdict"] == "refused":
                break
            running.append(stream)
            await eventually(partial(rungs, stream, tmp_path), 30)
        assert decision["status"] == 503
        assert 1 <= len(running) < len(NAMES)
        await asyncio.sleep(WATCHED_SECONDS)
        seen = {stream: status(stream, tmp_path) for stream in running}

    figures = measured.figures
    print(f"{measured.model}: {figures.cores:.2f} cores, {figures.streams} streams in the probe")
    print(f"{len(running)} let in, then: {decision['reason']}")
    for stream, each in seen.items():
        speed, behind = each.number("speed"), each.number("behind")
        print(f"{stream}: {len(each.items('rungs'))} rungs, speed {speed}, {behind} s behind")
        assert speed is not None
        assert speed > 0.97
        assert each.items("dropped_rungs") == []
    print(json.dumps([step.slowest for step in figures.steps]))
