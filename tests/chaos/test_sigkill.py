"""SIGKILL whatever runs, one at a time: it comes back by itself and the stream plays on."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from tests.support import player
from tests.support.encoder import Publisher, Signal
from tests.support.site import STREAMS, Site
from tests.support.waiting import until
from tests.support.watch import Recovery, Watcher

STREAM = STREAMS[-1]
STREAM_UNIT = f"stream@{STREAM}.service"
SENT = Signal(width=320, height=180, rate="25")
BACK_SECONDS = 8.0
SEGMENTS_AFTER = 3


@dataclass(frozen=True)
class Victim:
    """A process to kill."""

    name: str
    unit: str
    child: str = ""
    """Name of the process below the unit's main process; the main process itself when empty."""
    breaks: bool = False
    """Whether the encoding begins anew, which the playlist has to say."""
    drops_publisher: bool = False


VICTIMS = [
    Victim("FFmpeg", STREAM_UNIT, child="ffmpeg", breaks=True),
    Victim("packager", STREAM_UNIT, breaks=True),
    Victim("control service", "appliance-control.service"),
    Victim("delivery nginx", "appliance-delivery.service"),
    Victim("delivery nginx worker", "appliance-delivery.service", child="nginx"),
    Victim("Valkey", "valkey-server.service"),
    Victim("ingest nginx", "appliance-ingest.service", breaks=True, drops_publisher=True),
    Victim(
        "ingest nginx worker", "appliance-ingest.service", child="nginx", breaks=True, drops_publisher=True
    ),
]


class Encoder:
    """A publisher that connects again when it is cut off, as encoders do."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._publisher = Publisher(site.rtmp(STREAM), SENT).__enter__()

    @property
    def connected(self) -> bool:
        """Whether the connection still stands."""
        return self._publisher.connected

    def reconnect(self, seconds: float) -> float:
        """Wait until it is cut off, then try until it is accepted again; return how long all of it took."""
        began = time.monotonic()
        until("the publisher is cut off", lambda: not self.connected, seconds)
        while True:
            self._publisher.stop()
            self._publisher = Publisher(self._site.rtmp(STREAM), SENT).__enter__()
            accepted = _accepted(self._site, self._publisher)
            if accepted:
                return time.monotonic() - began
            assert time.monotonic() - began < seconds, "the publisher is not accepted again"

    def stop(self) -> None:
        """End it."""
        self._publisher.stop()


def _accepted(site: Site, publisher: Publisher) -> bool:
    """Return whether ingest lists the stream before the publisher is sent away."""
    deadline = time.monotonic() + 5
    while publisher.connected and time.monotonic() < deadline:
        if STREAM in site.publishing():
            return True
        time.sleep(0.1)
    return False


@pytest.fixture(scope="module")
def encoder(site: Site) -> Iterator[Encoder]:
    made = Encoder(site)
    try:
        player.wait_for(site.hls(STREAM), segments=3)
        yield made
    finally:
        made.stop()


def processes(site: Site, victim: Victim) -> list[str]:
    """Return the process ids of a victim; none while it is down."""
    main = site.property(victim.unit, "MainPID")
    if main == "0" or not victim.child:
        return [] if main == "0" else [main]
    group = site.property(victim.unit, "ControlGroup")
    script = 'cd "/sys/fs/cgroup$1" && for p in $(cat cgroup.procs); do echo "$p $(cat /proc/$p/comm)"; done'
    listed = site.run("sh", "-c", script, "sh", group, check=False).stdout
    return [
        pid
        for pid, name in (line.split(maxsplit=1) for line in listed.splitlines())
        if name == victim.child and pid != main
    ]


@pytest.mark.parametrize("victim", VICTIMS, ids=[victim.name for victim in VICTIMS])
def test_comes_back(site: Site, encoder: Encoder, recoveries: list[Recovery], victim: Victim) -> None:
    url = player.multivariant(site.hls(STREAM)).variants[0].url
    before = processes(site, victim)
    assert before, f"{victim.name} does not run"
    with Watcher(url) as watcher:
        watcher.wait_for(player.media(url).last + 1, 10)  # at a segment's beginning, so that times compare
        broken, last = set(watcher.broken), watcher.last
        killed = time.monotonic()
        site.run("kill", "-KILL", *before[:1])

        back = until(
            f"{victim.name} runs again",
            lambda: bool(now := processes(site, victim)) and before[0] not in now and len(now) >= len(before),
            BACK_SECONDS,
        )
        said = "stayed connected"
        if victim.drops_publisher:
            said = f"back after {encoder.reconnect(20):.1f} s"
        watcher.wait_for(last + SEGMENTS_AFTER, 30)
        newly_broken = {number for number in watcher.broken - broken if number > last}
        recoveries.append(
            Recovery(
                victim.name, back, watcher.longest_wait(killed), len(watcher.refused), len(newly_broken), said
            )
        )
    assert encoder.connected, "the publisher lost its connection"
    assert not watcher.ended, "the playlist was ended"
    assert player.multivariant(site.hls(STREAM)).variants[0].url == url, "the stream's URLs changed"
    numbers = sorted(number for number in {*watcher.seen, *watcher.gaps} if number > last)
    assert numbers == list(range(last + 1, watcher.last + 1)), f"numbers do not go on: {last} → {numbers}"
    lost = sorted(number for number in watcher.gaps if number > last)
    # The segment that was being written may be lost with whoever makes it, once viewers have had parts of it.
    assert len(lost) <= int(victim.breaks), f"more is lost than one segment: {lost}"
    if victim.breaks:
        assert newly_broken, "the encoding began anew and no playlist said so"
    else:
        assert not newly_broken, "the stream was broken by something it does not need"
    # FFmpeg says of each gap (EXT-X-GAP) that nothing is there, and plays on.
    said_by_player = player.decodes(site.hls(STREAM), 4).splitlines()
    assert [line for line in said_by_player if not _names_a_gap(line)] == []
    until("the stream is listed", lambda: STREAM in site.active(), 10)


def _names_a_gap(line: str) -> bool:
    """Whether FFmpeg found no file for a segment whose playlist says that there is none."""
    found = re.search(r"Unable to open resource: (http\S+)/([^/]+)$", line)
    if not found:
        return False
    playlist = player.get(f"{found[1]}/index.m3u8").body.decode().splitlines()
    at = playlist.index(found[2])
    return "#EXT-X-GAP" in playlist[at - 2 : at]


def test_nothing_is_left_failed(site: Site, encoder: Encoder) -> None:
    """Runs last: no unit of ours has given up, none restarts over and over."""
    assert encoder.connected
    failed = site.run("systemctl", "list-units", "--plain", "--no-legend", "--state=failed").stdout
    ours = [line for line in failed.splitlines() if line.startswith(("appliance", "stream@", "valkey"))]
    assert ours == []
