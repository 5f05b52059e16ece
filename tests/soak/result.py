"""What came of a soak: over time, in a table and as a picture."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass

from tests.soak.plot import Panel, svg
from tests.soak.recording import Costs, Ivs, Line
from tests.support import lip_sync
from tests.support.browser import Seen
from tests.support.site import TOP

DRAWING = TOP / ".cache" / "soak.svg"
SKEW_MINUTES = 30.0


def growth(line: Line) -> float:
    """Return how much a straight line through the last two thirds of `line` rises over them.

    0 for what was seen in three samples or fewer: no line goes through those.
    """
    if len(line) < 4:
        return 0.0
    rest = line[len(line) // 3 :]
    times, values = zip(*rest, strict=True)
    slope, _ = statistics.linear_regression(times, values)
    return float(slope * (times[-1] - times[0]))


def by_minute(found: list[tuple[float, float]], began: float) -> dict[int, list[float]]:
    """Return values by the whole minutes since `began`; `found` are unix times with values."""
    values: dict[int, list[float]] = defaultdict(list)
    for at, value in found:
        values[int((at - began) / 60)].append(value)
    return dict(sorted(values.items()))


@dataclass
class Soak:
    """All that was recorded; times are minutes since the beginning where they are not unix times."""

    minutes: float
    seen: Seen
    ivs: Ivs
    costs: Costs
    rotations: int
    connections: int
    made: list[tuple[int, float]]
    decrypted: tuple[float, float]
    """Sound after picture, s, at first and at last."""
    readable: list[str]
    """Files below web roots with a key in them, and addresses that gave one away."""

    @property
    def later(self) -> float:
        """The minute at which sound and picture are looked at again."""
        return min(SKEW_MINUTES, max(self.minutes - 2, 0.0))

    @property
    def files(self) -> Line:
        """Files in the stream's directory."""
        return [(at, float(sample.files)) for at, sample in self.costs.samples]

    @property
    def megabytes(self) -> Line:
        """Their size."""
        return [(at, sample.bytes / 1e6) for at, sample in self.costs.samples]

    def latencies(self) -> Line:
        """Return the median of each minute, s."""
        late = by_minute(self.seen.latencies(self.made), self.seen.shown[0].at)
        return [(minute + 0.5, statistics.median(values)) for minute, values in late.items()]

    def stalled(self) -> Line:
        """Return the seconds of each minute for which nothing came."""
        waits = by_minute(self.seen.waits, self.seen.shown[0].at)
        minutes = range(int((self.seen.at - self.seen.shown[0].at) / 60) + 1)
        return [(minute + 0.5, sum(waits.get(minute, []))) for minute in minutes]

    def skew(self, minute: float) -> float | None:
        """Return the browser's sound after picture in the two minutes from `minute` on, s."""
        since = self.seen.shown[0].at + 60 * minute
        found = lip_sync.offsets(self.seen, since, since + 120)
        return statistics.median(found) if found else None

    def skews(self) -> Line:
        """Return the browser's sound after picture over time, ms."""
        minutes = range(0, int((self.seen.at - self.seen.shown[0].at) / 60), 2)
        found = [(minute + 1.0, self.skew(minute)) for minute in minutes]
        return [(minute, 1000 * skew) for minute, skew in found if skew is not None]

    def draw(self) -> None:
        """Draw all that changes over time."""
        apart = [(minute, abs(skew)) for minute, skew in self.skews()]
        panels = [
            Panel("resident memory, MB", self.costs.memory()),
            Panel("files", {"files": self.files}),
            Panel("media, MB", {"bytes": self.megabytes}),
            Panel("latency of the viewer, s (median of a minute)", {"latency": self.latencies()}),
            Panel(
                "seconds of each minute in which the viewer had nothing to show", {"stalled": self.stalled()}
            ),
            Panel("sound against picture in the browser, ms", {"apart": apart}),
        ]
        DRAWING.write_text(svg(panels), encoding="utf-8")

    def print(self) -> None:
        """Print it as a table."""
        seen, late = self.seen, self.latencies()
        apart = [f"{'none' if skew is None else f'{1000 * skew:+.0f} ms'}"
                 for skew in (self.skew(0), self.skew(self.later))]  # fmt: skip
        load = os.getloadavg()[2]
        print(
            f"\n{self.minutes:g} minutes, {self.connections} connections, {self.rotations} rotations, "
            f"load {load:.1f}\n"
            f"{len(self.ivs.places)} IVs under {len(self.ivs.keys)} keys, {len(self.ivs.repeated)} of them "
            f"twice, {self.ivs.unanswered} playlists not answered\n"
            f"viewer: {len(seen.shown)} pictures, {seen.waited():.1f} s of {len(seen.waits)} waits, "
            f"{len(seen.errors)} errors, {len(seen.fatal)} fatal\n"
            f"latency: {late[0][1]:.2f} s in the first minute, {late[-1][1]:.2f} s in the last\n"
            f"sound after picture: decrypted {1000 * self.decrypted[0]:+.0f} ms at first, "
            f"{1000 * self.decrypted[1]:+.0f} ms at last; in the browser {apart[0]} at first, "
            f"{apart[1]} after {self.later:g} minutes"
        )
        print(f"{'':<34} {'first':>8} {'most':>8} {'last':>8} {'rise':>8}")
        for name, line in {**self.costs.memory(), "files": self.files, "media MB": self.megabytes}.items():
            values = [value for _, value in line]
            rise = f"{100 * growth(line) / statistics.mean(values):+.1f} %"
            print(f"{name:<34} {values[0]:>8.1f} {max(values):>8.1f} {values[-1]:>8.1f} {rise:>8}")
        print(f"drawn in {DRAWING}")
