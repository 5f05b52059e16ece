"""`appliance cpu probe` with the real FFmpeg, as small as it can be: two tiny rungs."""

from __future__ import annotations

import asyncio
import json
import sys
from typing import TYPE_CHECKING

from appliance.media.capacity.store import read_capacity
from appliance.media.capacity.work import Work
from appliance.media.encode.described import described_source
from appliance.media.encode.ladder import load_ladder
from appliance.media.encode.rungs import plan_rungs

if TYPE_CHECKING:
    from pathlib import Path

_LADDER = """
rungs:
  - {name: big, width: 640, height: 360, fps: 30, video_kbps: 800, audio_kbps: 96}
  - {name: small, width: 320, height: 180, fps: 30, video_kbps: 300, audio_kbps: 96}
"""


async def test_it_measures_until_there_are_too_many(tmp_path: Path) -> None:
    ladder, settings, kept = tmp_path / "tiny.yml", tmp_path / "appliance.yml", tmp_path / "capacity.json"
    ladder.write_text(_LADDER)
    settings.write_text(f"media_root: {tmp_path / 'hls'}\n")
    program = "from appliance.cli.main import main; main()"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", program, "cpu", "probe", "--json", "--source", "640x360@30"),
        *("--ladder", str(ladder), "--settings", str(settings), "--output", str(kept)),
        *("--step", "1", "--minutes", "0.1"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(180):
        out, err = await process.communicate()
    print(err.decode())
    assert process.returncode == 0, err.decode()

    measured = read_capacity(kept).cpu
    assert measured is not None
    assert json.loads(out)["figures"]["streams"] == measured.figures.streams
    figures = measured.figures
    print(figures)
    assert measured.made.ladder == "tiny"
    assert measured.made.ffmpeg
    assert set(figures.rungs) == {"big", "small"}
    assert 0.2 < figures.cores <= measured.machine.cores * 1.05
    assert all(cost > 0 for cost in figures.rungs.values())
    assert figures.streams >= 1
    assert [step.sessions for step in figures.steps] == sorted({step.sessions for step in figures.steps})
    # The parts that were measured one by one make up what the whole ladder costs.
    source = described_source("640x360@30")
    work = Work.of(source, plan_rungs(load_ladder(ladder), source))
    assert 0.5 < figures.cost(work) * figures.steps[-1].together / figures.cores < 2
