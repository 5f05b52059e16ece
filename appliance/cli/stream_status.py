"""What `appliance streams show` says of one stream: its status file, and what follows from it."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Table
from rich.text import Text

from appliance.cli.host import viewers_url
from appliance.media.capacity.placing import use_of
from appliance.media.status_reading import Reading
from appliance.names import stream_unit
from appliance.output import console, short_time, span

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from appliance.media.capacity.store import Capacity
    from appliance.names import StreamName
    from appliance.settings import Settings

_GONE: Final = frozenset({"inactive", "failed"})
"""States of a unit without a process; between two tries it is `activating` (systemctl(1), is-active)."""

_NOTHING: Final = Reading({})


def unit_state(stream: StreamName) -> str | None:
    """The state of the stream's unit as systemd calls it; None where systemd does not answer."""
    command = ["systemctl", "is-active", stream_unit(stream)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=5)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def short_state(status: Reading, now: float) -> str:
    """The state in a word, and how many alerts are raised: for a table of streams. `now` is unix seconds."""
    if not status.fresh(now):
        return "gone"
    count = len([item for item in status.items("alerts") if not item.flag("over")])
    alerts = f", {count} alert{'s' if count > 1 else ''}" if count else ""
    return (status.text("state") or "?") + alerts


def short_encoder(status: Reading, capacity: Capacity | None, now: float) -> str:
    """Who encodes, and the share of it that the stream takes, where that was measured: for a table."""
    use = use_of(status, capacity) if status.fresh(now) else None
    if use is None:
        return "-"
    name = "x264" if use.device == "cpu" else use.device
    return f"{name}, {100 * use.share:.0f} %" if use.share else name


@dataclass(frozen=True)
class StreamView:
    """One stream at the moment `now` (unix seconds); `unit` is what systemd says of its unit, if anything."""

    name: StreamName
    status: Reading
    unit: str | None
    settings: Settings
    now: float

    @property
    def gone(self) -> bool:
        """Whether the process that wrote the status is no more, or hangs."""
        return self.unit in _GONE or not self.status.fresh(self.now)

    @property
    def address(self) -> str:
        """Of the multivariant playlist."""
        return f"{viewers_url(self.settings)}/hls/{self.name}.m3u8"

    def describe(self) -> dict[str, Any]:
        """The status file's content, and below `seen` what follows from it; ages are seconds."""
        age = self.status.age
        return {
            **self.status.content,
            "seen": {
                "gone": self.gone,
                "unit": self.unit,
                "address": self.address,
                "status_age": age(self.now, "updated"),
                "newest_segment_age": age(self.now, "media", "newest_segment"),
                "content_key_age": age(self.now, "media", "content_key", "since"),
            },
        }

    def print(self) -> None:
        """One screen for a person, or for a pipe."""
        out = console()
        if self.gone:
            out.print(Text(self._epitaph()))
        facts = Table.grid(padding=(0, 2))
        facts.add_column(no_wrap=True)
        facts.add_column(overflow="fold")
        for fact, text in self._facts(short_time if out.is_terminal else str):
            facts.add_row(fact, Text(text))
        out.print(facts)
        self._print_rungs(out)
        self._print_alerts(out)

    def _epitaph(self) -> str:
        age = self.status.age(self.now, "updated")
        unit = stream_unit(self.name)
        return (
            f"OLD: this was written {'at an unknown time' if age is None else f'{span(age)} ago'}, and "
            f"{unit} is {self.unit or 'in an unknown state'}\n"
            f"  see why: systemctl status {unit}; journalctl -u {unit}\n"
        )

    def _facts(self, when: Callable[[str], str]) -> Iterator[tuple[str, str]]:
        def moment(*keys: str) -> str:
            text = self.status.text(*keys)
            return f"{when(text)} ({_ago(self.status.age(self.now, *keys))})" if text else "?"

        status = self.status
        state, reason = status.text("state") or "?", status.text("reason") or "?"
        yield "stream", self.name
        yield "state", f"{state} since {moment('since')}: {reason}"
        yield "source", self._source()
        yield "encoder", self._encoder()
        yield "copy", self._copy()
        yield "FFmpeg", self._pace()
        yield "playlist", self.address
        if status.text("media", "epoch"):
            yield "published", self._published()
            kid = status.text("media", "content_key", "kid")
            yield "content key", f"{kid} since {moment('media', 'content_key', 'since')}" if kid else "none"
        ending = status.text("last_ending")
        yield "last ending", f"{moment('last_ended')}: {ending}" if ending else "none"

    def _source(self) -> str:
        text = self.status.text("source", "text")
        if text is None:
            return f"none; the reader is {self.status.text('reader') or '?'}"
        keyframes = self.status.number("source", "video", "keyframe_seconds")
        every = "" if keyframes is None else f"; a keyframe every {keyframes:.3g} s"
        return f"{text}{every}; {_figure(self.status.number('bitrate_kbps'))} kbit/s"

    def _encoder(self) -> str:
        family = self.status.text("encoder", "family")
        if family is None:
            return "not chosen yet"
        why = self.status.text("encoder", "reason") or "?"
        return f"{family} ({self.status.text('encoder', 'codec') or '?'}): {why}"

    def _copy(self) -> str:
        copied = [item.text("name") or "?" for item in self.status.items("rungs") if item.flag("copied")]
        if copied:
            return f"the source is {', '.join(copied)} as it is"
        why = self.status.text("encoded_because")
        return f"the source is not copied: {why}" if why else "nothing runs"

    def _pace(self) -> str:
        run = f"run {_figure(self.status.number('run'))}"
        if self.status.number("ffmpeg_pid") is None:
            return f"does not run; the last was {run}" if self.status.number("run") else "has not run yet"
        fps, speed = self.status.number("fps"), self.status.number("speed")
        behind = self.status.number("behind")
        pace = "" if speed is None else f", takes {100 * speed:.0f} % of what it is given"
        return f"{run}: {_figure(fps)} fps{pace}" + ("" if behind is None else f", {behind:.1f} s behind")

    def _published(self) -> str:
        status = self.status
        number, breaks = status.number("media", "next_msn"), status.number("media", "discontinuities")
        age = status.age(self.now, "media", "newest_segment")
        newest = "has not come" if age is None else _ago(age)
        return (
            f"epoch {status.text('media', 'epoch')}: up to number {_figure(number and number - 1)}, "
            f"{_figure(breaks)} discontinuities; the newest {newest}"
        )

    def _print_rungs(self, out: Console) -> None:
        rungs = {item.text("name"): item for item in self.status.items("rungs")}
        published = {item.text("name"): item for item in self.status.items("media", "renditions")}
        if rungs or published:
            table = Table("rung", "size", "fps")
            for heading in ("kbit/s declared", "kbit/s measured", "copied", "segments", "lost"):
                table.add_column(heading.replace(" ", "\n" if out.is_terminal else " "), no_wrap=True)
            for name in dict.fromkeys([*rungs, *published]):
                rung, made = rungs.get(name, _NOTHING), published.get(name, _NOTHING)
                width, height = rung.number("width"), rung.number("height")
                table.add_row(
                    Text(name or "?"),
                    f"{width:.0f}x{height:.0f}" if width and height else "-",
                    _figure(rung.number("fps")),
                    _figure(rung.number("video_kbps")),
                    _figure(made.number("kbps")),
                    ("yes" if rung.flag("copied") else "no") if name in rungs else "-",
                    _figure(made.number("segments")),
                    _figure(made.number("lost")),
                )
            out.print(table)
        for item in self.status.items("dropped_rungs"):
            out.print(Text(f"dropped: {item.text('name') or '?'}: {item.text('reason') or '?'}"))

    def _print_alerts(self, out: Console) -> None:
        alerts = self.status.items("alerts")
        if not alerts:
            out.print("no alerts")
        for item in alerts:
            begun = item.age(self.now, "since")
            last = item.age(self.now, "last")
            out.print(
                Text(
                    f"{'over' if item.flag('over') else 'ALERT'}: {item.text('name') or '?'}: "
                    f"{item.text('what') or '?'}: {item.text('value') or '?'}\n"
                    f"  seen: {_figure(item.number('count'))}, first {_ago(begun)}, last {_ago(last)}\n"
                    f"  mends it: {item.text('mends') or '?'}"
                )
            )


def _figure(number: float | None) -> str:
    return "-" if number is None else f"{number:.6g}"


def _ago(seconds: float | None) -> str:
    return "?" if seconds is None else f"{span(seconds)} ago"
