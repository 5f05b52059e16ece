"""`GET /metrics`: what a scrape says of streams that are well, gone, or have a broken status."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from prometheus_client.parser import text_string_to_metric_families

from appliance.control.metrics.delivery import ask_delivery
from appliance.media.alerts import Alert
from appliance.media.status import State
from tests.support import status_file

if TYPE_CHECKING:
    from pathlib import Path

    import httpx

Samples = dict[tuple[str, ...], float]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "hls"


OF_STATUS = ("appliance_stream_", "appliance_rung_")


async def scrape(http: httpx.AsyncClient) -> Samples:
    """What the status files say: by name, stream, and values of the other labels by their names."""
    answer = await http.get("/metrics")
    assert answer.status_code == 200, answer.text
    samples: Samples = {}
    for family in text_string_to_metric_families(answer.text):
        assert family.documentation
        if not family.name.startswith(OF_STATUS):
            continue
        for sample in family.samples:
            stream, others = sample.labels.pop("stream"), sorted(sample.labels.items())
            key = (sample.name.removeprefix("appliance_"), stream, *(value for _, value in others))
            assert key not in samples
            samples[key] = sample.value
    return samples


async def test_a_live_stream_in_base_units(http: httpx.AsyncClient, root: Path) -> None:
    now = time.time()
    status_file.put(root, status_file.content(now))
    seen = await scrape(http)
    expected = {
        ("stream_up", "demo"): 1,
        ("stream_state", "demo", "live"): 1,
        ("stream_state", "demo", "waiting"): 0,
        ("stream_encoder_info", "demo", "libx264", "x264"): 1,
        ("stream_encode_speed_ratio", "demo"): 0.998,
        ("stream_source_bytes_per_second", "demo"): 752_625,
        ("stream_source_keyframe_interval_seconds", "demo"): 2,
        ("stream_runs_total", "demo"): 3,
        ("stream_encode_behind_seconds", "demo"): 0.2,
        ("stream_discontinuities_total", "demo"): 2,
        ("stream_newest_segment_timestamp_seconds", "demo"): pytest.approx(now - 1.5, abs=0.01),
        ("stream_content_key_timestamp_seconds", "demo"): pytest.approx(now - 180, abs=0.01),
        ("stream_alert", "demo", "slow_encoding"): 1,
        ("stream_alert", "demo", "storage_full"): 0,
        ("rung_bytes_per_second", "demo", "720p"): 343_750,
        ("rung_bytes_per_second", "demo", "audio"): 16_000,
        ("rung_declared_bytes_per_second", "demo", "720p"): 350_000,
        ("rung_copied", "demo", "720p"): 0,
        ("rung_dropped", "demo", "1080p"): 1,
        ("rung_dropped", "demo", "480p"): 0,
        ("rung_segments_published_total", "demo", "720p"): 149,
        ("rung_segments_lost_total", "demo", "720p"): 1,
        ("rung_parts_published_total", "demo", "720p"): 1490,
        ("rung_packaging_delay_seconds", "demo", "720p"): 0.031,
        ("stream_encode_frames_per_second", "demo"): 29.9,
        ("stream_source_frames_per_second", "demo"): 30,
        ("rung_newest_segment_timestamp_seconds", "demo", "480p"): pytest.approx(now - 1.5, abs=0.01),
    }
    assert {key: seen.get(key) for key in expected} == expected
    assert sum(key[0] == "stream_alert" for key in seen) == len(Alert)
    assert sum(key[0] == "stream_state" for key in seen) == len(State)


async def test_a_live_stream_leaves_no_metric_empty(http: httpx.AsyncClient, root: Path) -> None:
    """All that a scrape may hold is read from fields that the stream's process really writes."""
    status_file.put(root, status_file.content(time.time()))
    text = (await http.get("/metrics")).text
    families = text_string_to_metric_families(text)
    empty = {family.name for family in families if not family.samples and family.name.startswith(OF_STATUS)}
    assert empty == {"appliance_stream_viewers"}  # which delivery tells of


async def test_figures_of_a_process_that_is_gone_are_not_passed_off_as_present(
    http: httpx.AsyncClient, root: Path
) -> None:
    then = time.time() - 60
    status_file.put(root, status_file.content(then))
    seen = await scrape(http)
    assert {key[0] for key in seen} == {
        "stream_up",
        "stream_status_timestamp_seconds",
        "stream_newest_segment_timestamp_seconds",
    }
    assert seen["stream_up", "demo"] == 0


@pytest.mark.parametrize(
    "broken",
    [
        "",
        "{",
        "[1]",
        "null",
        {"updated": 5, "rungs": 7},
        {"alerts": [None, {"name": []}], "rungs": [{"name": "../x"}, 1], "media": [], "encoder": "x"},
        {"alerts": [{"name": "made_up"}], "encoder": {"family": "f" * 999, "codec": "c"}, "speed": "fast"},
        {"rungs": [{"name": "a"}, {"name": "a"}], "dropped_rungs": [{"name": "a"}, {"name": "a"}]},
    ],
)
async def test_a_broken_status_breaks_no_scrape(http: httpx.AsyncClient, root: Path, broken: Any) -> None:
    status_file.put(root, status_file.content(time.time()))
    if isinstance(broken, dict):
        broken = {"updated": status_file.iso(time.time()), **broken}
    status_file.put(root, broken, stream="broken")
    seen = await scrape(http)
    assert seen["stream_up", "demo"] == 1
    assert ("stream_up", "broken") in seen
    labels = {value for key in seen for value in key[1:]}
    assert not labels & {"../x", "made_up", "f" * 999}


async def test_a_folder_in_the_place_of_a_status_is_that_streams_matter_alone(
    http: httpx.AsyncClient, root: Path
) -> None:
    status_file.put(root, status_file.content(time.time()))
    (root / "bad" / "status.json").mkdir(parents=True)
    descriptors = psutil.Process().num_fds
    before = descriptors()
    for _ in range(5):
        seen = await scrape(http)
        assert (seen["stream_up", "demo"], seen["stream_up", "bad"]) == (1, 0)
    assert descriptors() <= before + 1


async def test_a_status_from_the_future_is_none_of_the_present(http: httpx.AsyncClient, root: Path) -> None:
    status_file.put(root, status_file.content(time.time() + 3600))
    assert (await scrape(http))["stream_up", "demo"] == 0


async def test_the_format_is_the_one_asked_for(http: httpx.AsyncClient, root: Path) -> None:
    status_file.put(root, status_file.content(time.time()))
    answer = await http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    newer = await http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert newer.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert newer.text.endswith("# EOF\n")
    strange = await http.get("/metrics", headers={"Accept": "application/openmetrics-text; version=abc"})
    assert strange.status_code == 200
    assert (await http.post("/metrics")).status_code == 405


async def test_nothing_of_a_process_or_of_python_is_told(http: httpx.AsyncClient) -> None:
    assert await scrape(http) == {}
    text = (await http.get("/metrics")).text
    assert {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")} & {
        "python_info",
        "process_start_time_seconds",
    } == set()
    assert all(line.startswith(("# ", "appliance_")) for line in text.splitlines())


async def test_a_media_root_that_cannot_be_read_is_said(
    http: httpx.AsyncClient, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise PermissionError(13, "Permission denied", str(root))

    monkeypatch.setattr("appliance.control.metrics.streams.streams_on_disk", refuse)
    answer = await http.get("/metrics")
    assert (answer.status_code, answer.json()) == (503, {"detail": "The media root cannot be read"})


async def test_whether_delivery_takes_connections() -> None:
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    assert await ask_delivery(port)
    server.close()
    assert not await ask_delivery(port)
