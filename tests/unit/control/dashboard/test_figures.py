"""What the dashboard makes of what it is told: rates, plots, the overview of all hosts."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from appliance.control.dashboard.history import history
from appliance.control.dashboard.overview import SILENT_SECONDS, overview
from appliance.control.dashboard.rates import SentRates
from appliance.control.dashboard.streams_now import stream_now
from appliance.media.status_reading import Reading
from appliance.names import StreamName
from appliance.state.host_reports import SAMPLE_SECONDS, SAMPLES, Report, Sample
from appliance.state.lease import Lease
from tests.support import status_file

DEMO = StreamName("demo")
NOW = 1_900_000_000.0


class Clock:
    """A clock that a test turns."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_rates_are_of_the_last_seconds_and_forget() -> None:
    clock = Clock()
    rates = SentRates(10, clock=clock)
    assert rates.look({("demo", "media"): 5_000_000}) == {"demo": 0}  # since when is not known
    clock.now = 5
    assert rates.look({("demo", "media"): 5_500_000, ("demo", "reload"): 125_000}) == {"demo": 1000}
    clock.now = 15
    assert rates.look({("demo", "media"): 5_500_000, ("demo", "reload"): 125_000}) == {"demo": 0}
    clock.now = 20
    assert rates.look({("demo", "media"): 10}) == {"demo": 0}  # counted from the beginning again
    assert rates.look({}) == {}


def test_hosts_are_added_up_minute_by_minute_and_gaps_stay() -> None:
    def at(minutes: float, *total: int, **streams: list[int]) -> Sample:
        return Sample(NOW - minutes * SAMPLE_SECONDS, {"total": list(total), "streams": streams})

    found = history(
        [
            [at(SAMPLES + 5, 99, 99, 99), at(2, 1, 10, 100, demo=[1, 10, 100]), at(0, 3, 30, 300)],
            [at(0, 4, 40, 400, demo=[4, 40, 400]), at(1, 0)],
            [at(1, 5, 50, 500)],  # has told nothing of this minute yet
        ],
        now=NOW,
    )
    assert found["total"]["viewers"][-3:] == [1, 5, 12]
    assert found["total"]["sent_kbps"][-1] == 120
    assert found["streams"]["demo"]["received_kbps"][-3:] == [100, None, 400]
    assert all(len(values) == SAMPLES for values in found["total"].values())
    assert sum(value or 0 for value in found["total"]["viewers"]) == 18
    assert found["end"] <= NOW < found["end"] + found["step"]


def shown(**fields: Any) -> dict[str, Any] | None:
    content = {**status_file.content(NOW), "alerts": [], "dropped_rungs": [], **fields}
    return stream_now(DEMO, Reading(content), NOW, segment_seconds=2)


def test_a_streams_health_is_in_words() -> None:
    good, waiting = shown(), shown(state="waiting", reason="no publisher yet")
    assert good is not None
    assert (good["level"], good["words"], good["findings"]) == ("good", "Good", [])
    assert waiting is not None
    assert (waiting["level"], waiting["words"]) == ("waiting", "Waiting: no publisher yet")
    ailing = shown(dropped_rungs=[{"name": "1080p", "reason": "too slow"}])
    assert ailing is not None
    assert (ailing["level"], ailing["words"]) == ("warning", "Has lost a rung")
    assert ailing["findings"][0]["mend"]
    quiet = shown(updated=status_file.iso(NOW - 60))
    assert quiet is not None
    assert quiet["words"] == "Its process has said nothing for 60 s"


@pytest.mark.parametrize(
    "fields",
    [{"updated": status_file.iso(NOW - 3600)}, {"state": "ended", "updated": status_file.iso(NOW - 60)}],
)
def test_what_is_over_is_left_out(fields: dict[str, Any]) -> None:
    assert shown(**fields) is None


def test_a_status_of_nonsense_is_shown_as_what_it_says_of_itself() -> None:
    content = {"updated": status_file.iso(time.time()), "rungs": "x", "media": 7, "fps": "fast", "state": []}
    found = stream_now(DEMO, Reading(content), time.time(), segment_seconds=2)
    assert found is not None
    assert (found["level"], found["rungs"], found["fps"], found["latency"]) == ("over", [], None, None)


def test_nothing_is_published_before_it_is_there() -> None:
    media = status_file.content(NOW)["media"]
    for rendition in media["renditions"]:
        rendition["delay_seconds"] = -0.09
    found = shown(media=media)
    assert found is not None
    assert found["latency"] == 0.0


def test_a_status_without_bounds_is_bounded() -> None:
    found = shown(bitrate_kbps=1e308, alerts=[{"alert": str(number)} for number in range(60_000)])
    assert found is not None
    assert round(2 * found["received_kbps"]) > 0  # a sum of them is a number yet
    assert len(json.dumps(found)) < 20_000


def lease(host: str) -> Lease:
    return Lease.new(DEMO, host=host, client="1", app="live", client_ip="192.0.2.7")


def stream(level: str = "good", name: str = "demo") -> dict[str, Any]:
    return {"name": name, "level": level, "words": "Good", "findings": [], "rungs": [], "live": True}


def test_all_hosts_are_one_picture() -> None:
    reports = [
        Report("a", 1.0, {"streams": [stream()], "viewers": 3, "sent_kbps": 30, "received_kbps": 1}),
        Report("b", 2.0, {"streams": [], "viewers": 4, "sent_kbps": 40, "received_kbps": 0}),
        Report("c", SILENT_SECONDS + 1, {"streams": [stream(name="lost")], "viewers": 9}),
    ]
    found = overview(reports, [lease("a")], here="b")
    assert found["totals"] == {"streams": 1, "viewers": 7, "sent_kbps": 70, "received_kbps": 1}
    assert [(each["name"], each["level"]) for each in found["streams"]] == [
        ("lost", "critical"),
        ("demo", "good"),
    ]
    assert [(host["host"], host["silent"], host["streams"]) for host in found["hosts"]] == [
        ("a", False, 1),
        ("b", False, 0),
        ("c", True, 1),
    ]


def test_who_publishes_is_seen_before_and_after_its_process() -> None:
    [early] = overview([], [lease("a")], here="a")["streams"]
    assert (early["level"], early["publisher"]["client_ip"]) == ("waiting", "192.0.2.7")
    [late] = overview([Report("a", 0, {"streams": [stream("over")]})], [lease("a")], here="a")["streams"]
    assert late["words"] == "Somebody publishes it, and no process takes it"
