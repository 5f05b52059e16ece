"""A real browser with hls.js, and what it tells of a stream."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, fields
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryFile
from types import TracebackType
from typing import IO, Any, NamedTuple, Self

from tests.support.pictures import BITS

LOOK_SECONDS = 0.25
"""Between two looks at what a page has seen: each takes the page some of its time."""

LOW_LATENCY = {"maxLiveSyncPlaybackRate": 1.5, "liveSyncOnStallIncrease": 0.2}
"""Options of hls.js for a player that is to be close to the live edge. It catches up; and a stall, which each
reconnect of an encoder is, makes it stay behind by that many seconds more, not by the default's second."""

FOLDER = Path(__file__).resolve().parents[1] / "e2e" / "browser"


def program(script: str) -> list[str]:
    """Return the command for one of the scripts beside the browser's page; its arguments follow."""
    found = {name: shutil.which(name) for name in ("node", "chromium")}
    for name, path in found.items():
        assert path, f"{name} is missing: `files/bootstrap.sh browser` installs it"
    return [str(found["node"]), str(FOLDER / script), str(found["chromium"])]


class Shown(NamedTuple):
    """A picture on the screen."""

    number: int
    at: float
    """Unix time, s, at which it was shown."""
    media: float
    """Its time in the element's own time, s."""
    flash: bool


@dataclass
class Seen:
    """What a viewer saw (`viewer.js`). Times are unix seconds, but those of `clock` and `beeps`."""

    shown: list[Shown] = field(default_factory=list)
    """The pictures in the order they were shown."""
    unreadable: int = 0
    fatal: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    stalls: int = 0
    """How often hls.js told of one."""
    waits: list[tuple[float, float]] = field(default_factory=list)
    """When the element had nothing to show, and for how many seconds."""
    keys: list[str] = field(default_factory=list)
    """URLs of the content keys that were fetched."""
    levels: list[tuple[float, int]] = field(default_factory=list)
    """When hls.js went over to a variant, and that variant's height."""
    retries: int = 0
    """How often the stream was not there yet."""
    beeps: list[float] = field(default_factory=list)
    """When each beep began, by the clock of the sound, s."""
    clock: list[tuple[float, float]] = field(default_factory=list)
    """The clock of the sound, s, and beside it the element's own time."""
    at: float = 0.0
    """When this was told."""
    position: float = 0.0
    """The element's own time then."""
    waiting: float = 0.0
    """For how many seconds it had had nothing to show then."""
    state: str = ""
    """What the player says of itself then, JSON: for who asks why it stands still."""

    def add(self, told: dict[str, Any]) -> None:
        """Add what the page has told since."""
        told = {**told, "shown": [Shown(*each) for each in told["shown"]]}
        for item in fields(self):
            now, more = getattr(self, item.name), told[item.name]
            if isinstance(now, list):
                now.extend(more)
            else:
                setattr(self, item.name, now + more if isinstance(now, int) else more)

    @property
    def pictures(self) -> int:
        """How many were shown, with a number that could be read or without."""
        return len(self.shown) + self.unreadable

    def waited(self, since: float = 0.0) -> float:
        """Return for how many seconds there was nothing to show, from `since` on, in waits that ended."""
        return sum(seconds for at, seconds in self.waits if at >= since)

    @property
    def heights(self) -> list[int]:
        """Heights of the variants in the order they were played."""
        return [height for _, height in self.levels]

    def longest_still(self) -> float:
        """Return the longest time, s, for which one picture stood."""
        return max((after.at - before.at for before, after in pairwise(self.shown)), default=0.0)

    def latencies(self, made: Iterable[tuple[int, float]]) -> list[tuple[float, float]]:
        """Return for each picture when it was shown, and the seconds from its making to its showing.

        `made` are the numbers and unix times of the pictures that were made. A number comes again after
        2**BITS pictures, or from another publisher: the newest that was made before counts.
        """
        times: dict[int, list[float]] = defaultdict(list)
        for number, at in sorted(made, key=lambda item: item[1]):
            times[number % (1 << BITS)].append(at)
        found = []
        for picture in self.shown:
            before = bisect_right(times[picture.number], picture.at)
            if before:
                found.append((picture.at, picture.at - times[picture.number][before - 1]))
        return found


@dataclass
class Viewer:
    """A page that watches `url`, opened before the stream begins when so wanted."""

    url: str
    """`/media/NAME` for a file of `folder`."""
    options: dict[str, Any] = field(default_factory=dict)
    """For the constructor of hls.js."""
    sound: bool = False
    """Whether beeps are heard; a page without it is muted."""
    folder: Path | None = None
    _process: subprocess.Popen[str] | None = None
    _said: IO[str] | None = None
    _seen: Seen = field(default_factory=Seen)

    def __enter__(self) -> Self:
        self._said = TemporaryFile("w+")
        options = {"hls": self.options, "sound": self.sound, "folder": str(self.folder or "")}
        self._process = subprocess.Popen(
            [*program("watch.js"), self.url, json.dumps(options)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            text=True,
        )
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process is not None
        assert self._said is not None
        try:
            self._process.communicate(timeout=20)  # the end of its input is its end
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()
        self._said.close()

    def look(self) -> Seen:
        """Return all that was seen until now."""
        self._seen.add(self._ask({"look": True}))
        return self._seen

    def watch(self, seconds: float) -> Seen:
        """Watch on for so long; return all that was seen until then."""
        time.sleep(seconds)
        return self.look()

    def until(self, what: str, ready: Callable[[Seen], bool], seconds: float) -> Seen:
        """Watch until `ready`, for at most `seconds`; return all that was seen until then."""
        deadline = time.monotonic() + seconds
        while not ready(seen := self.look()):
            assert time.monotonic() < deadline, (
                f"{what}: not within {seconds} s; {len(seen.shown)} pictures were shown, {seen.heights}, "
                f"{seen.fatal} {seen.errors[-5:]} {seen.state}"
            )
            time.sleep(LOOK_SECONDS)
        return seen

    def throttle(self, bits_per_second: float | None) -> None:
        """Let no more than that come in, until it is None again."""
        self._ask({"throttle": -1 if bits_per_second is None else round(bits_per_second / 8)})

    def _ask(self, command: dict[str, Any]) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process is not None
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"no page: {self.said()}"
        return dict(json.loads(line))

    def said(self) -> str:
        """Return what the page has written to its console, hls.js's own words included."""
        assert self._said is not None
        self._said.seek(0)
        return self._said.read()


def parse(states: list[tuple[str, str]]) -> list[dict[str, Any]]:
    """Read media playlists, each a URL and a text, with hls.js; return what `parse-hls.js` found of each."""
    done = subprocess.run(
        program("parse-hls.js"),
        input=json.dumps([{"url": url, "text": text} for url, text in states]),
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found
