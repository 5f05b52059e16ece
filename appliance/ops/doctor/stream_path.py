"""One stream, from its encoder to its playlist: each step in turn, and the first at which it stops."""

from __future__ import annotations

import asyncio
import difflib
import enum
import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from rich.table import Column, Table
from rich.text import Text

from appliance.control.stat import StatUnavailableError
from appliance.health.finding import Finding, Severity, critical, worst
from appliance.health.stream import judge_status, oldest_newest
from appliance.media.status import State
from appliance.names import stream_unit
from appliance.ops.doctor.report import print_findings
from appliance.ops.doctor.services import ingest_stat
from appliance.ops.doctor.units import ask_units, last_words, with_words
from appliance.ops.doctor.valkey import registered
from appliance.ops.doctor.watching import Watch
from appliance.output import page, span
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.media.status_reading import Reading
    from appliance.names import StreamName
    from appliance.ops.doctor.host import Host

_REFUSALS_SINCE = "-1h"

_NO_ROOM: Final = "no room: "
"""What the reason of a refusal for want of room begins with (`appliance.control.admission`)."""

_KEYS: Final = "appliance streams keys list NAME; appliance bans list; the key in the encoder"
_AFTER_REFUSAL: Final = {
    "room": "see what takes it: appliance streams list; say what a stream takes: admission_source, or the "
    "limits of this one (appliance streams register NAME --limit); measure again: appliance cpu probe; "
    "let everybody in: admission: off",
    "taken": "see who publishes it: appliance streams list; drop who does: appliance streams drop NAME",
    "no answer": "see what does not answer: appliance doctor; then have the encoder try again",
}
"""What mends a refusal that is not about who publishes, by its kind."""


def _kind(refusal: dict[str, Any]) -> str:
    """What a publisher was refused for, by the audit log; empty when it is for who it is."""
    if refusal.get("status") == 503 and str(refusal.get("reason")).startswith(_NO_ROOM):
        return "room"
    return {409: "taken", 503: "no answer"}.get(refusal.get("status", 0), "")


class Verdict(enum.Enum):
    """What became of a step."""

    OK = "ok"
    STOPS = "stops here"
    OPEN = "not reached"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way; `seen` says what was there."""

    name: str
    verdict: Verdict
    seen: str


@dataclass(frozen=True, slots=True)
class Way:
    """The whole way: its steps, and what is wrong at the one where it stops."""

    stream: StreamName
    steps: tuple[Step, ...]
    findings: tuple[Finding, ...]

    @property
    def exit_code(self) -> int:
        """As that of a report."""
        return worst(self.findings)

    def described(self) -> dict[str, Any]:
        """For JSON; `stops` is the name of a step, null when there is none."""
        stops = next((step.name for step in self.steps if step.verdict is Verdict.STOPS), None)
        steps = [{"name": one.name, "verdict": one.verdict.value, "seen": one.seen} for one in self.steps]
        findings = [finding.described() for finding in self.findings]
        return {"stream": self.stream, "stops": stops, "steps": steps, "findings": findings}

    def print(self) -> None:
        """For a person, or a pipe."""
        out = page()
        table = Table("step", "verdict", Column("seen", overflow="fold"))
        for step in self.steps:
            table.add_row(step.name, step.verdict.value, Text(step.seen))
        out.print(table)
        if self.findings:
            print_findings(self.findings)


class _StopError(Exception):
    """The way stops at this step."""

    def __init__(self, seen: str, *findings: Finding) -> None:
        super().__init__(seen)
        self.seen = seen
        self.findings = findings


async def follow(host: Host, stream: StreamName) -> Way:
    """Follows `stream` on this host."""
    walk = _Walk(host, stream)
    names: list[tuple[str, Callable[[], Awaitable[str]]]] = [
        ("encoder", walk.encoder),
        ("unit", walk.unit),
        ("reader", walk.reader),
        ("source", walk.source),
        ("FFmpeg", walk.ffmpeg),
        ("packager", walk.packager),
        ("delivery", walk.delivery),
    ]
    steps: list[Step] = []
    findings: list[Finding] = []
    for name, take in names:
        if any(step.verdict is Verdict.STOPS for step in steps):
            steps.append(Step(name, Verdict.OPEN, "-"))
            continue
        try:
            async with asyncio.timeout(6):
                seen = await take()
        except _StopError as stop:
            steps.append(Step(name, Verdict.STOPS, printable(stop.seen)))
            findings += [finding.of(name) for finding in stop.findings]
        except Exception as error:  # noqa: BLE001 - what cannot be looked at is where it stops
            seen = f"cannot be looked at: {type(error).__name__}: {error}"
            steps.append(Step(name, Verdict.STOPS, printable(seen)))
            why = "nobody knows whether the stream gets further"
            mend = "see the host first: appliance doctor"
            findings.append(critical(f"{name} cannot be looked at", seen, why, mend, stream=stream).of(name))
        else:
            steps.append(Step(name, Verdict.OK, printable(seen)))
    findings += [finding.of(finding.check or "stream") for finding in walk.remarks]
    return Way(stream, tuple(steps), tuple(sorted(findings, key=lambda one: -one.severity)))


class _Walk:
    """The steps; each returns what it saw, or raises _StopError."""

    def __init__(self, host: Host, stream: StreamName) -> None:
        self._host = host
        self._stream = stream
        self.remarks: list[Finding] = []
        """What is not as it should be, and stops nothing."""

    def _stop(self, what: str, seen: str, mend: str) -> _StopError:
        why = "nothing of it gets further"
        return _StopError(seen, critical(what, seen, why, mend, stream=self._stream))

    async def encoder(self) -> str:
        """Somebody publishes it to ingest; else why who tried was refused."""
        try:
            publisher = (await ingest_stat(self._host)).publishers.get(self._stream)
        except StatUnavailableError as error:
            mend = "systemctl restart appliance-ingest; journalctl -u appliance-ingest -n 50"
            raise self._stop("ingest does not answer", str(error), mend) from None
        if publisher is not None:
            return f"published from {publisher.address}"
        await self._require_known()
        refusal = await self._last_refusal()
        if refusal is None:
            raise self._stop(
                f"nobody publishes {self._stream} to this host",
                "ingest has no publisher of it, and nobody tried in the last hour",
                f"point the encoder to rtmp://HOST/live/{self._stream}, see that it is on, and its line",
            )
        raise self._stop(
            f"whoever published {self._stream} was turned away",
            f"{refusal.get('reason')} (status {refusal.get('status')}, from {refusal.get('client_ip')})",
            _AFTER_REFUSAL.get(_kind(refusal), _KEYS).replace("NAME", self._stream),
        )

    async def _require_known(self) -> None:
        """Stops where nobody may publish such a name: most likely it is misspelt, here or in the encoder."""
        names = await registered(self._host)
        if names is None:
            return  # it may be
        names += self._host.settings.allowed_stream_keys
        if self._stream in names:
            return
        near = difflib.get_close_matches(self._stream, names, n=3)
        seen = "it is neither registered nor in allowed_stream_keys, so nobody may publish it"
        seen += f"; near to it: {', '.join(near)}" if near else ""
        mend = (
            f"see the names: appliance streams registered; add it: appliance streams register {self._stream}"
        )
        raise self._stop(f"this host knows no stream {self._stream}", seen, mend)

    async def _last_refusal(self) -> dict[str, Any] | None:
        """The newest verdict about a publisher of it, when it was a no."""
        answer = await self._host.run(
            "journalctl", "-u", "appliance-control", "-o", "cat", "-q", "--since", _REFUSALS_SINCE,
            "--grep", f'"stream": "{self._stream}"', "-n", "200",
        )  # fmt: skip
        for line in answer.text.splitlines():  # the newest first: --grep with -n reverses (journalctl(1))
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if (
                isinstance(entry, dict)
                and entry.get("event") == "publish"
                and entry.get("stream") == self._stream
            ):
                return entry if entry.get("verdict") == "refused" else None
        return None

    async def unit(self) -> str:
        """Its unit runs."""
        name = stream_unit(self._stream)
        unit = (await ask_units(self._host)).get(name)
        state = (
            f"{name} is {unit.text('ActiveState')} ({unit.text('SubState')})"
            if unit
            else f"{name} is not loaded"
        )
        if unit is None or not unit.runs:
            mend = f"systemctl restart {name}; journalctl -u {name} -n 50"
            stop = self._stop(f"{name} does not run", state, mend)
            if unit is not None and unit.ends_again:
                stop = self._stop(f"{name} ends again and again", f"{state}, {unit.restarted}", mend)
            words = await last_words(self._host, name)
            told = [with_words(one, words, self._host.settings.encoder) for one in stop.findings]
            raise _StopError(told[0].seen, *told)
        return state

    async def _status(self) -> Reading:
        status = (await self._host.statuses()).get(self._stream)
        name = stream_unit(self._stream)
        if status is None or not status.fresh(time.time()):
            age = None if status is None else status.age(time.time(), "updated")
            seen = "it wrote no status" if age is None else f"its status is {span(age)} old"
            mend = f"systemctl restart {name}; journalctl -u {name} -n 50"
            raise self._stop(f"the process of {self._stream} hangs", seen, mend)
        return status

    async def reader(self) -> str:
        """Its reader is connected to ingest."""
        status = await self._status()
        said = status.text("reader") or "?"
        if status.text("state") != State.LIVE.value:
            unit = stream_unit(self._stream)
            mend = f"journalctl -u {unit} -n 50; journalctl -u appliance-control --grep play"
            seen = f"reader {said}; {status.text('state')}: {status.text('reason')}"
            raise self._stop(f"the reader of {self._stream} gets nothing", seen, mend)
        return said

    async def source(self) -> str:
        """What comes is H.264 and AAC, and comes."""
        status = await self._status()
        text, rate = status.text("source", "text"), status.number("bitrate_kbps") or 0
        if text is None:
            alerts = [item for item in status.items("alerts") if item.text("name") == "source_refused"]
            seen = (
                alerts[0].text("value") or "?"
                if alerts
                else f"{rate:.0f} kbit/s, and no picture or sound yet"
            )
            mend = "set the encoder to H.264 and AAC, a keyframe every 2 s"
            raise self._stop(f"what is sent as {self._stream} is not taken", seen, mend)
        if rate <= 0:
            mend = "see the encoder and its line"
            raise self._stop(f"the encoder of {self._stream} is silent", "0 kbit/s in 5 s", mend)
        return f"{text}; {rate:.0f} kbit/s"

    async def ffmpeg(self) -> str:
        """FFmpeg runs."""
        status = await self._status()
        if status.number("ffmpeg_pid") is None:
            seen = f"it does not run; the last ending: {status.text('last_ending') or 'none'}"
            mend = f"journalctl -u {stream_unit(self._stream)} -n 50"
            raise self._stop(f"FFmpeg of {self._stream} does not run", seen, mend)
        seconds = self._host.settings.segment_seconds
        found = judge_status(self._stream, status, time.time(), segment_seconds=seconds)
        self.remarks += [
            finding.of("streams") for finding in found if "makes no segments" not in finding.what
        ]
        run, fps, behind = (status.number(name) or 0 for name in ("run", "fps", "behind"))
        return f"run {run:.0f}, {fps:.0f} fps, {behind:.1f} s behind"

    async def packager(self) -> str:
        """Segments come."""
        status = await self._status()
        age = status.age(time.time(), "media", "newest_segment")
        limit = oldest_newest(self._host.settings.segment_seconds)
        if age is None or age > limit:
            seen = (
                "no segment yet"
                if age is None
                else f"the newest segment is {age:.1f} s old, allowed {limit:g}"
            )
            mend = f"df -h {self._host.settings.media_root}; journalctl -u {stream_unit(self._stream)} -n 50"
            raise self._stop(f"the packager of {self._stream} makes no segments", seen, mend)
        kid = status.text("media", "content_key", "kid")
        return f"the newest segment is {age:.1f} s old, key {kid or 'none'}"

    async def delivery(self) -> str:
        """A player gets playlist, key, segment, pictures."""
        watch = Watch(self._host, self._stream)
        findings = await watch.findings()
        serious = [finding for finding in findings if finding.severity is Severity.CRITICAL]
        self.remarks += [finding.of("watching") for finding in findings if finding not in serious]
        if serious:
            raise _StopError(f"{watch.reached}: {serious[0].seen}", *serious)
        if watch.reached == "refused":
            return f"not looked at: status {watch.refused_with}, who may watch is not the doctor's to say"
        return (
            "playlists, key, segment and pictures are good"
            if watch.reached == "end"
            else f"up to {watch.reached}"
        )
