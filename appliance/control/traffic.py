"""What delivery sends, and to how many: a line of its nginx for each request, on a datagram socket.

nginx counts no bytes for a stream, and asks nobody about viewers of streams that are open to all. So it sends
each request as a line (log_format `traffic` of the role delivery), and never waits for us: what does not fit
into the socket's queue is lost, and then too little is counted.

A session is what the control service answered about the viewer (`X-Session`); where delivery does not ask, it
is an address with one player. It is here for as long as its player goes on asking: one that has not asked for
PAUSES times its own longest pause, lately, has left.
"""

from __future__ import annotations

import json
import math
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from appliance.control.metric_families import Histogram
from appliance.digest import digest
from appliance.names import is_stream_name

if TYPE_CHECKING:
    import asyncio
    import socket
    from collections.abc import Callable, Collection

KINDS: Final = frozenset(("multivariant", "playlist", "reload", "media", "thumbnail", "key"))
"""What a request may be for (nginx's $delivery_kind) of what belongs to a stream."""

_WATCHING: Final = frozenset(("playlist", "reload"))
"""What a player goes on to ask for, as long as it plays (RFC 8216bis, 6.3.4)."""

PAUSES: Final = 1.35
_LEAST_PAUSE: Final = 0.8
_FADING: Final = 0.8
"""How much of the longest pause is left at the next request: a player that stalled once is soon as before."""

_MOST_SESSIONS: Final = 100_000
_MOST_STREAMS: Final = 1000
_SWEEP_SECONDS: Final = 10.0
"""Who has left is forgotten when viewers are counted; where nobody counts them, so often at the bound."""

_AT_ONCE: Final = 256
_PAUSE_SECONDS: Final = 0.01
"""Lines gather for so long, and so many are read at once: a wake-up for each would cost nginx more than all
else about it, and decisions come first. A flood of requests costs this service a fifth of a core."""

_CATCH_UP: Final = 4096
"""Lines that are read before anybody counts: as many as wait on a host (net.unix.max_dgram_qlen of the role
tuning). This service may have been busy for a second, and nobody has left whose line it has not read."""

_LARGEST: Final = 1 << 53
"""Bytes that a figure of a metric holds exactly."""

_LONGEST_LINE: Final = 16 * 1024

WAITS: Final = (0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.0, 3.0, 6.0, 12.0, 30.0)
"""Upper bounds (s) of the buckets for how long playlists are held: a part, a segment, three targets."""


@dataclass(slots=True)
class _Session:
    """seen: monotonic seconds; pause: the longest lately, in seconds, or how long one may be at first."""

    seen: float
    pause: float


class Traffic:
    """What was sent. Used from one event loop only.

    Parameters
    ----------
    target_seconds
        How long a media segment is to be: a player asks anew about as often.
    clock
        Monotonic seconds.
    """

    def __init__(self, *, target_seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._target = max(_LEAST_PAUSE, target_seconds)
        self._clock = clock
        self._sessions: dict[str, dict[str, _Session]] = {}
        self._held = 0
        self._swept = clock()
        self.sent: Counter[tuple[str, str]] = Counter()
        """Bytes, headers among them, by stream and kind."""
        self.requests: Counter[tuple[str, str, str]] = Counter()
        """Requests, by stream, kind and class of status (2xx)."""
        self.waits: dict[str, Histogram] = {}
        """How long playlists that players waited for were held, by stream."""
        self.unreadable = 0
        self.catch_up: Callable[[], object] = lambda: None
        """Takes the lines that have come and were not read yet."""

    def take(self, datagram: bytes) -> None:
        """One line, as nginx's syslog client sends it (RFC 3164)."""
        try:
            stream, kind, code, sent, took, session, address, player = _fields(datagram)
            status, size, seconds = _figures(code, sent, took)
        except (ValueError, TypeError, RecursionError):
            self.unreadable += 1
            return
        if kind not in KINDS or not is_stream_name(stream):
            return
        good = status in (200, 206, 304)
        # Anybody may ask for any name: one that nothing was sent of is nobody's.
        if stream not in self._sessions:
            if not good or len(self._sessions) >= _MOST_STREAMS:
                return
            self._sessions[stream] = {}
            self.waits[stream] = Histogram(WAITS)
        self.sent[stream, kind] += size
        self.requests[stream, kind, f"{status // 100}xx"] += 1
        if good and kind == "reload":
            self.waits[stream].observe(seconds)
        if good and kind in _WATCHING:
            # Without parts a player asks once in a target duration, or in half of one when nothing was new.
            least = _LEAST_PAUSE if kind == "reload" else self._target
            self._see(stream, session or digest(f"{address}\0{player}"), least)

    def viewers(self) -> dict[str, int]:
        """How many watch each stream now."""
        self.catch_up()
        self._forget_left()
        return {stream: len(sessions) for stream, sessions in self._sessions.items()}

    def keep(self, streams: Collection[str]) -> None:
        """Forgets all streams but `streams`: the others' files are gone."""
        for stream in self._sessions.keys() - set(streams):
            self._held -= len(self._sessions.pop(stream))
            del self.waits[stream]
        for counts in (self.sent, self.requests):
            for key in [key for key in counts if key[0] not in self._sessions]:
                del counts[key]

    def _forget_left(self) -> None:
        self._swept = now = self._clock()
        for sessions in self._sessions.values():
            for name in [name for name, session in sessions.items() if self._has_left(session, now)]:
                del sessions[name]
                self._held -= 1

    def _see(self, stream: str, name: str, least: float) -> None:
        now, sessions = self._clock(), self._sessions[stream]
        session = sessions.get(name)
        if session is None or self._has_left(session, now):
            if session is None:
                if self._held >= _MOST_SESSIONS and now - self._swept >= _SWEEP_SECONDS:
                    self._forget_left()
                if self._held >= _MOST_SESSIONS:
                    return
                self._held += 1
            sessions[name] = _Session(now, self._target)
            return
        session.pause = max(now - session.seen, session.pause * _FADING, least)
        session.seen = now

    def _has_left(self, session: _Session, now: float) -> bool:
        return now - session.seen > PAUSES * session.pause


def _fields(datagram: bytes) -> list[str]:
    """The fields of a line; nginx quotes all of them. Raises ValueError, TypeError or RecursionError."""
    # What a player calls itself need be no UTF-8, and nginx cuts it off anywhere.
    line = json.loads(datagram[datagram.index(b"[") :].decode("utf-8", "replace"))
    if not all(isinstance(field, str) for field in line):
        raise TypeError("a field that is no text")
    return list(line)


def _figures(code: str, sent: str, took: str) -> tuple[int, int, float]:
    """Status, bytes and seconds of a request. Raises ValueError for what no request has."""
    status, size, seconds = int(code), max(0, int(sent)), float(took)
    if not (0 <= status < 600 and size < _LARGEST and 0 <= seconds < math.inf):
        raise ValueError("no request")
    return status, size, seconds


class TrafficReader:
    """Reads the lines that come in on `listening`, a datagram socket, which it closes at its end."""

    def __init__(self, traffic: Traffic, listening: socket.socket) -> None:
        self._traffic = traffic
        self._socket = listening
        self._socket.setblocking(False)
        self._pause: asyncio.TimerHandle | None = None
        traffic.catch_up = self._catch_up

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        """Has `loop` read soon after something is there."""
        self._pause = None
        loop.add_reader(self._socket, self._gather, loop)

    def close(self, loop: asyncio.AbstractEventLoop) -> None:
        """Reads no more."""
        if self._pause is not None:
            self._pause.cancel()
        loop.remove_reader(self._socket)
        self._traffic.catch_up = lambda: None
        self._socket.close()

    def _gather(self, loop: asyncio.AbstractEventLoop) -> None:
        loop.remove_reader(self._socket)
        self._pause = loop.call_later(_PAUSE_SECONDS, self._read, loop)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._emptied(_AT_ONCE):
            self.start(loop)
        else:
            self._pause = loop.call_later(_PAUSE_SECONDS, self._read, loop)

    def _catch_up(self) -> None:
        self._emptied(_CATCH_UP)

    def _emptied(self, most: int) -> bool:
        """Takes `most` lines, or all of them and returns True."""
        try:
            for _ in range(most):
                self._traffic.take(self._socket.recv(_LONGEST_LINE))
        except BlockingIOError:
            return True
        return False
