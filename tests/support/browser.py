"""A real browser with hls.js, and what it tells of a stream."""

from __future__ import annotations

import json
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.support.pictures import BITS

FOLDER = Path(__file__).resolve().parents[1] / "e2e" / "browser"


def _program(script: str) -> list[str]:
    found = {name: shutil.which(name) for name in ("node", "chromium")}
    for name, path in found.items():
        assert path, f"{name} is missing: `files/bootstrap.sh browser` installs it"
    return [str(found["node"]), str(FOLDER / script), str(found["chromium"])]


def play(url: str, seconds: float) -> dict[str, Any]:
    """Play a stream that is live for `seconds`; return what `play.js` saw."""
    done = subprocess.run(
        [*_program("play.js"), url, str(seconds)],
        capture_output=True,
        text=True,
        check=False,
        timeout=90 + seconds,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return dict(json.loads(done.stdout))


@dataclass
class Seen:
    """What a viewer saw (`watch.js`)."""

    shown: list[tuple[int, float]]
    """The pictures in the order they were shown: number, unix time in seconds."""
    unreadable: int
    fatal: list[str]
    errors: list[str]
    stalls: int
    keys: list[str]
    levels: list[int]
    retries: int

    def latencies(self, made_at: dict[int, float]) -> list[float]:
        """Return for each picture the seconds from its making to its showing.

        A number comes again after 2**BITS pictures: the newest picture that was made before counts.
        """
        found = []
        newest = max(made_at, default=-1)
        for number, at in self.shown:
            made = [
                made_at[n] for n in range(number, newest + 1, 1 << BITS) if n in made_at and made_at[n] <= at
            ]
            if made:
                found.append(at - made[-1])
        return found


@dataclass
class Viewer:
    """A page that watches `url` for `seconds`, opened before the stream begins when so wanted."""

    url: str
    seconds: float
    options: dict[str, Any] = field(default_factory=dict)
    _process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*_program("watch.js"), self.url, str(self.seconds), json.dumps(self.options)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, f"no page: {self._process.communicate()[1]}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            self._process.communicate(timeout=20)

    def seen(self) -> Seen:
        """Wait until the time is over; return what was seen."""
        assert self._process is not None
        out, said = self._process.communicate(timeout=self.seconds + 60)
        assert self._process.returncode == 0, said
        document = json.loads(out)
        document["shown"] = [(number, at) for number, at in document["shown"]]
        return Seen(**document)
