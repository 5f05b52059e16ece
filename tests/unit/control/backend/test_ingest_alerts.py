"""Ingest alerts: told once when a figure stays outside its limit, once when it is back, nothing between."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from typing import TYPE_CHECKING, Any, cast

import pytest

from appliance.control.backend import ingest_alerts, live_watch
from appliance.control.backend.ingest_alerts import LASTING_SECONDS, Change, IngestAlerts
from appliance.control.backend.live_watch import LiveWatch, live_streams
from appliance.media.status_reading import Reading
from appliance.names import StreamName
from appliance.settings import Settings
from appliance.state.valkey import StateUnavailableError
from tests.support import status_file
from tests.support.clock import Clock

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.state.events import Event

DEMO = StreamName("demo")
VIDEO = {"fps": 30.0, "width": 1920, "height": 1080, "keyframe_seconds": 2.0}
GOOD: dict[str, Any] = {"bitrate_kbps": 4000, "fps": 30.0, "source": {"video": VIDEO}}
SETTINGS = Settings(
    alert_min_kbps=1000,
    alert_max_kbps=8000,
    alert_min_fps=24,
    alert_max_keyframe_seconds=4,
    alert_max_width=1920,
    alert_max_height=1080,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def watch(clock: Clock) -> IngestAlerts:
    return IngestAlerts(SETTINGS, clock=clock)


def after(watch: IngestAlerts, clock: Clock, seconds: float, fields: dict[str, Any]) -> list[Change]:
    """What is to be told when the stream has been so for `seconds`."""
    watch.look({DEMO: Reading(fields)})
    clock.now += seconds
    return watch.look({DEMO: Reading(fields)})


@pytest.mark.parametrize(
    ("fields", "alert", "value", "limit"),
    [
        ({"bitrate_kbps": 999}, "low_bitrate", 999, 1000),
        ({"bitrate_kbps": 8001}, "high_bitrate", 8001, 8000),
        ({"fps": 23.5}, "low_fps", 23.5, 24),
        ({"fps": None, "source": {"video": {**VIDEO, "fps": 15}}}, "low_fps", 15, 24),
        ({"source": {"video": {**VIDEO, "keyframe_seconds": 9}}}, "long_keyframe_interval", 9, 4),
        ({"source": {"video": {**VIDEO, "width": 3840}}}, "wide_picture", 3840, 1920),
        ({"source": {"video": {**VIDEO, "height": 2160}}}, "high_picture", 2160, 1080),
    ],
)
def test_what_stays_outside_a_limit_is_told(
    *, watch: IngestAlerts, clock: Clock, fields: dict[str, Any], alert: str, value: float, limit: float
) -> None:
    assert after(watch, clock, LASTING_SECONDS - 0.1, {**GOOD, **fields}) == []
    clock.now += 0.1
    assert watch.look({DEMO: Reading({**GOOD, **fields})}) == [Change(DEMO, alert, False, value, limit)]


def test_it_is_told_once_and_once_over(watch: IngestAlerts, clock: Clock) -> None:
    bad = {**GOOD, "bitrate_kbps": 10}
    [raised] = after(watch, clock, LASTING_SECONDS, bad)
    assert watch.look({DEMO: Reading(bad)}) == [raised]  # until it is stored
    watch.told(raised)
    assert after(watch, clock, 100, bad) == []
    assert after(watch, clock, LASTING_SECONDS - 0.1, GOOD) == []
    assert after(watch, clock, 0, bad) == []  # not for long enough: it goes on
    [over] = after(watch, clock, LASTING_SECONDS, GOOD)
    assert (over.over, over.value) == (True, 4000)
    watch.told(over)
    assert after(watch, clock, 100, GOOD) == []


def test_a_stream_that_ends_ends_its_alerts(watch: IngestAlerts, clock: Clock) -> None:
    [raised] = after(watch, clock, LASTING_SECONDS, {**GOOD, "bitrate_kbps": 10})
    watch.told(raised)
    [over] = watch.look({})
    assert over == Change(DEMO, "low_bitrate", True, None, 1000)
    watch.told(over)
    assert watch.look({}) == []


def test_what_is_unknown_is_no_alert(watch: IngestAlerts, clock: Clock) -> None:
    assert after(watch, clock, 100, {}) == []
    assert after(watch, clock, 100, {"source": {"video": None}, "bitrate_kbps": "many"}) == []


def test_without_limits_nothing_is_looked_at(clock: Clock) -> None:
    watch = IngestAlerts(Settings(), clock=clock)
    assert after(watch, clock, 100, {"bitrate_kbps": 1}) == []


def test_only_what_lives_counts(tmp_path: Path) -> None:
    now = time.time()
    status_file.put(tmp_path, status_file.content(now), stream="live")
    status_file.put(tmp_path, {**status_file.content(now), "state": "waiting"}, stream="waiting")
    status_file.put(tmp_path, status_file.content(now - 60), stream="gone")
    status_file.put(tmp_path, "{", stream="broken")
    assert set(live_streams(tmp_path)) == {"live"}
    assert live_streams(tmp_path / "nowhere") == {}


async def test_what_could_not_be_stored_is_told_when_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ingest_alerts, "LASTING_SECONDS", 0.0)
    monkeypatch.setattr(live_watch, "_LOOK_SECONDS", 0.01)
    status_file.put(tmp_path, status_file.content(time.time()))
    stored: asyncio.Queue[Event] = asyncio.Queue()
    refusals = iter([True, True])

    class Store:
        async def add(self, event: Event) -> None:
            if next(refusals, False):
                raise StateUnavailableError("away")
            stored.put_nowait(event)

    settings = Settings(media_root=str(tmp_path), alert_max_kbps=6000)
    alerts = LiveWatch(cast("Any", Store()), settings, "here")
    task = asyncio.create_task(alerts.run())
    event = await asyncio.wait_for(stored.get(), 5)
    assert (event.type, event.stream) == ("ingest.alert", "demo")
    assert json.loads(event.body)["data"] == {
        "stream": "demo", "alert": "high_bitrate", "value": 6021, "limit": 6000, "host": "here",
    }  # fmt: skip
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    assert stored.empty()
