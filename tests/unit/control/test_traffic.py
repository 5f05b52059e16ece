"""Counting viewers and bytes by what delivery tells: 200 viewers come and go, and lines that are none."""

from __future__ import annotations

import asyncio
import heapq
import random
import socket
from typing import TYPE_CHECKING

import pytest

from appliance.control import traffic as module
from appliance.control.traffic import Traffic, TrafficReader
from tests.support.traffic import traffic_line

if TYPE_CHECKING:
    from pathlib import Path


class Clock:
    """Seconds that a test moves."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def traffic(clock: Clock) -> Traffic:
    return Traffic(target_seconds=2, clock=clock)


def line(
    stream: str = "demo",
    kind: str = "reload",
    *,
    size: int = 700,
    address: str = "192.0.2.1",
    session: str = "",
    player: str = "player",
) -> bytes:
    """Return a line about a request that was answered."""
    return traffic_line(
        stream=stream,
        kind=kind,
        status="200",
        size=str(size),
        seconds="0.19",
        session=session,
        address=address,
        player=player,
    )


@pytest.mark.parametrize(
    ("pause", "jitter", "stay"), [(0.21, 0.1, 60), (2.0, 0.4, 120)], ids=["low latency", "whole segments"]
)
def test_200_viewers_who_come_and_go_are_counted(
    traffic: Traffic, clock: Clock, pause: float, jitter: float, stay: float
) -> None:
    """Each stays for a minute (or two) on average, and each one that leaves makes room for the next."""
    chance = random.Random(7)
    number = iter(range(100_000))
    # Who asks next, when, and until when it stays; they come within the first ten seconds.
    asking = [(chance.uniform(0, 10), next(number), chance.expovariate(1 / stay)) for _ in range(200)]
    heapq.heapify(asking)
    measured: list[float] = []
    looked = 15.0
    while len(measured) < 15:
        clock.now, who, until = heapq.heappop(asking)
        if clock.now >= looked:
            truth = sum(stays > clock.now for _, _, stays in asking) + (until > clock.now)
            measured.append(traffic.viewers()["demo"] / truth)
            looked += 5
        if clock.now > until:
            who, until = next(number), clock.now + chance.expovariate(1 / stay)
        traffic.take(line(address=f"2001:db8::{who:x}"))
        stall = 3.0 if chance.random() < 0.002 else 0.0
        heapq.heappush(
            asking, (clock.now + chance.uniform(pause - jitter, pause + jitter) + stall, who, until)
        )
    assert measured == pytest.approx([1.0] * 15, abs=0.05)


def test_a_session_is_one_however_many_renditions_it_asks_for(traffic: Traffic) -> None:
    for _ in range(3):
        traffic.take(line(session="5e55"))
        traffic.take(line(session="5e55", address="192.0.2.2"))
    traffic.take(line(session="other"))
    traffic.take(line(stream="second", session="5e55"))
    assert traffic.viewers() == {"demo": 2, "second": 1}


def test_segments_alone_are_no_viewer(traffic: Traffic) -> None:
    traffic.take(line(kind="media", size=100_000))
    assert traffic.viewers() == {"demo": 0}
    assert traffic.sent == {("demo", "media"): 100_000}


@pytest.mark.parametrize(
    "datagram",
    [
        b"",
        b"<190>Jan  1 00:00:00 t: ",
        b"<190>Jan  1 00:00:00 t: [",
        b'<190>Jan  1 00:00:00 t: ["demo"]',
        b"[" * 10_000,
        b'["demo","media","x","1","1","","",""]',
        b'["demo","media","200",{},"1","","",""]',
        b'["demo","media","200","1","\xff","","",""]',
    ],
)
def test_what_is_no_line_is_counted_as_that(traffic: Traffic, datagram: bytes) -> None:
    traffic.take(datagram)
    assert traffic.unreadable == 1
    assert traffic.viewers() == {}


def test_nobody_outside_can_make_a_name_appear(traffic: Traffic) -> None:
    for stream in ("../x", "", "a" * 65):
        traffic.take(line(stream=stream))
    missing = traffic_line(stream="nobodys", kind="media", status="404", size="9", seconds="0")
    traffic.take(missing)
    traffic.take(line(kind="made up"))
    for number in range(1100):
        traffic.take(line(stream=f"s{number}"))
    assert len(traffic.viewers()) == 1000
    assert "nobodys" not in traffic.viewers()
    assert traffic.unreadable == 0


def test_a_player_may_call_itself_anything(traffic: Traffic) -> None:
    for player in ("caf\u00e9", "caf\udce9"):
        traffic.take(line(player=player))
    assert (traffic.viewers(), traffic.unreadable) == ({"demo": 2}, 0)


def test_where_nobody_counts_those_who_left_keep_nobody_out(
    traffic: Traffic, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MOST_SESSIONS", 3)
    for number in range(5):
        traffic.take(line(session=f"early{number}"))
    clock.now = 60.0
    for number in range(2):
        traffic.take(line(session=f"late{number}"))
    assert traffic.viewers() == {"demo": 2}


def test_a_player_without_parts_that_asked_twice_for_one_segment_is_still_there(
    traffic: Traffic, clock: Clock
) -> None:
    for seconds in (1.0, 1.0, 1.0, 2.4):  # nothing was new three times, so it asked again after half a target
        clock.now += seconds
        assert traffic.viewers().get("demo", 0) == (clock.now > 1.0)
        traffic.take(line(kind="playlist"))


def test_what_is_gone_is_forgotten(traffic: Traffic) -> None:
    for stream in ("demo", "second"):
        traffic.take(line(stream=stream))
    traffic.keep(["second"])
    assert set(traffic.viewers()) == set(traffic.waits) == {"second"}
    assert {key[0] for key in (*traffic.sent, *traffic.requests)} == {"second"}


@pytest.mark.parametrize(
    "fields",
    [
        '["demo","media",Infinity,"1","0.1","","",""]',
        '[["demo"],"media","200","1","0.1","","",""]',
        '["demo",["reload"],"200","1","0.1","","",""]',
        '["demo","reload","200","1","0.1",{},"",""]',
        "[1e999]",
        '["demo","reload","200","1","nan","","",""]',
        '["demo","reload","200","1","inf","","",""]',
        f'["demo","reload","200","{"9" * 400}","0.1","","",""]',
        f'["demo","reload","{"2" * 400}","1","0.1","","",""]',
        '["demo","reload","200","0.1",""]',
    ],
)
def test_a_line_that_nginx_would_not_write_is_counted_as_unreadable(traffic: Traffic, fields: str) -> None:
    traffic.take(b"<190>Jan  1 00:00:00 t: " + fields.encode())
    assert (traffic.unreadable, traffic.viewers()) == (1, {})


async def test_a_flood_of_lines_leaves_room_for_others(traffic: Traffic, tmp_path: Path) -> None:
    """Behind each batch the loop is free for a while, and nothing that waits in the queue is lost by it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        lines.bind(str(tmp_path / "lines"))
        sender.setblocking(False)
        loop = asyncio.get_running_loop()
        reader = TrafficReader(traffic, lines)
        reader.start(loop)
        sent = 0
        while sent < 1000:
            try:
                sender.sendto(line(), str(tmp_path / "lines"))
                sent += 1
            except BlockingIOError:  # the queue is full
                await asyncio.sleep(0)
        for _ in range(5000):
            if traffic.requests["demo", "reload", "2xx"] == sent:
                break
            await asyncio.sleep(0.001)
        reader.close(loop)
    assert traffic.requests["demo", "reload", "2xx"] == sent


async def test_nobody_has_left_whose_line_was_not_read_yet(
    traffic: Traffic, clock: Clock, tmp_path: Path
) -> None:
    """The service was busy; whoever counts comes before the reader."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        lines.bind(str(tmp_path / "lines"))
        reader = TrafficReader(traffic, lines)
        reader.start(asyncio.get_running_loop())
        sender.sendto(line(), str(tmp_path / "lines"))
        assert traffic.viewers() == {"demo": 1}
        clock.now += 10
        sender.sendto(line(), str(tmp_path / "lines"))
        assert traffic.viewers() == {"demo": 1}
        reader.close(asyncio.get_running_loop())
        assert traffic.viewers() == {"demo": 1}
