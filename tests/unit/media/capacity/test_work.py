"""What a stream asks for, from its plan and from what its process says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from appliance.media.capacity.work import Work
from appliance.media.encode.copying import with_copy
from appliance.media.encode.described import described_source
from appliance.media.encode.ladder import ladder_path, load_ladder
from appliance.media.encode.rungs import plan_rungs
from appliance.media.status import StreamStatus
from appliance.media.status_reading import Reading

LADDER = load_ladder(ladder_path("default"))


def reported(**fields: Any) -> Reading:
    return Reading(json.loads(StreamStatus("demo", **fields).dumps()))


def rung(name: str, width: int, height: int, fps: float = 30.0, *, copied: bool = False) -> dict[str, Any]:
    return {"name": name, "width": width, "height": height, "fps": fps, "video_kbps": 1, "copied": copied}


def source(width: int, height: int, fps: float | None = 30.0) -> dict[str, Any]:
    return {"video": {"width": width, "height": height, "fps": fps}}


def test_a_plan_counts_its_source_and_each_rung_that_is_encoded() -> None:
    what = described_source("1280x720@30")
    rungs = plan_rungs(LADDER, what)
    work = Work.of(what, rungs)
    assert work.source == pytest.approx(27.648)
    assert {name: round(pixels, 2) for name, pixels in work.rungs.items()} == {
        "720p": 27.65, "480p": 12.3, "360p": 6.91,
    }  # fmt: skip
    copied, _ = with_copy(rungs, what, None)
    assert list(Work.of(what, copied).rungs) == ["480p", "360p"]


def test_a_rung_with_half_the_pictures_asks_for_half() -> None:
    what = described_source("1920x1080@60")
    work = Work.of(what, plan_rungs(LADDER, what))
    assert work.source == pytest.approx(124.416)
    assert work.rungs["1080p"] == pytest.approx(124.416)
    assert work.rungs["360p"] == pytest.approx(640 * 360 * 30 / 1e6)


def test_nothing_encoded_is_nothing_decoded() -> None:
    what = described_source("1280x720@30")
    top = replace(plan_rungs(LADDER, what)[0], copied=True)
    assert Work.of(what, (top,)) == Work()
    assert Work.of(described_source("audio"), ()) == Work()


def test_what_a_process_says_that_it_runs() -> None:
    status = reported(
        source=source(1280, 720),
        rungs=[rung("720p", 1280, 720, copied=True), rung("360p", 640, 360)],
        ffmpeg_pid=1,
    )
    work = Work.reported(status)
    assert work is not None
    assert work.source == pytest.approx(27.648)
    assert dict(work.rungs) == {"360p": pytest.approx(6.912)}


def test_a_source_of_unknown_rate_has_that_of_its_fastest_rung() -> None:
    work = Work.reported(reported(source=source(1000, 1000, None), rungs=[rung("a", 500, 500, 50)]))
    assert work is not None
    assert work.source == pytest.approx(50)


def test_a_stream_that_runs_nothing_says_nothing() -> None:
    assert Work.reported(reported()) is None
    assert Work.reported(reported(ffmpeg_pid=7)) == Work(), "sound alone"
    assert Work.reported(reported(rungs=[rung("720p", 1280, 720, copied=True)])) == Work()
