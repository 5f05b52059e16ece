"""The live streams as their processes see them: what ails each, and whether FFmpeg keeps up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from appliance.cli.output import short_time
from appliance.control.stat import StatUnavailableError
from appliance.media.alerts import QUIET_S, Alert
from appliance.media.status import State
from appliance.names import StreamName, stream_unit
from appliance.ops.doctor.finding import Finding, Severity, critical, warning
from appliance.ops.doctor.services import ingest_stat
from appliance.ops.doctor.units import ask_units, show_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from appliance.media.status_reading import Reading
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.units import Unit

_SLOW: Final = 0.97
"""Share of the source that FFmpeg takes, below which it does not keep up; it is never exactly 1."""
_BEHIND_S: Final = 3.0
_STARTS_S: Final = 10.0
"""So long a process may take, on a busy host, until it writes its first status; what lies there until then is
that of the one before."""
_LOST: Final = frozenset({Alert.WRITE_FAILED, Alert.PICTURES_LEFT_OUT, Alert.RUNS_FAIL, Alert.SOURCE_REFUSED})
"""Alerts by which viewers lose something now."""

_WORDS: Final = {alert.value.name: (alert.value.what, alert.value.mends) for alert in Alert}


async def streams(host: Host) -> list[Finding]:
    """Every published stream has a process that reads, encodes and writes it, and no alert."""
    statuses, units = await host.statuses(), await ask_units(host)
    try:
        publishers: Set[StreamName] = (await ingest_stat(host)).publishers.keys()
    except StatUnavailableError:
        publishers = set()  # the check `ingest` says it
    # Of a unit that does not run systemd knows nothing until it is asked by name.
    unknown = [name for name in map(stream_unit, publishers) if name not in units]
    units = units | (await show_units(host, *unknown) if unknown else {})
    now, monotonic = time.time(), time.monotonic()
    findings = []
    for stream in sorted(publishers):
        findings += judge_published(stream, units, statuses.get(stream), now, monotonic)
    for stream in sorted(streams_of(units) - publishers):
        if hangs(units[stream_unit(stream)], statuses.get(stream), now, monotonic):
            findings.append(_hangs(stream, statuses.get(stream), now))
    for stream, status in statuses.items():
        if status.fresh(now):
            findings += judge_status(stream, status, now, segment_seconds=host.settings.segment_seconds)
            findings += judge_encoder(stream, status, host.settings.encoder)
    return findings


def streams_of(units: Mapping[str, Unit]) -> set[StreamName]:
    """The streams whose units these are."""
    names = (name.removeprefix("stream@").removesuffix(".service") for name in units)
    return {StreamName(name) for name in names if f"stream@{name}.service" in units}


def hangs(unit: Unit, status: Reading | None, now: float, monotonic: float) -> bool:
    """Whether a process that had the time to write its status wrote none, or wrote it long ago."""
    # One that ends again and again is in no state for long, and the check `units` says it.
    works = unit.runs or (unit.text("ActiveState"), unit.text("SubState")) == ("activating", "start")
    return works and unit.seconds(monotonic) > _STARTS_S and not (status is not None and status.fresh(now))


def judge_published(
    stream: StreamName, units: Mapping[str, Unit], status: Reading | None, now: float, monotonic: float
) -> list[Finding]:
    """A stream that somebody publishes, and whether something takes it in; `monotonic` as systemd's times."""
    unit = units.get(stream_unit(stream))
    if unit is None or unit.text("ActiveState") in {"inactive", "failed", ""}:
        name, masked = stream_unit(stream), unit is not None and unit.text("LoadState") == "masked"
        state = unit.text("ActiveState") if unit else "not loaded"
        seen = f"{name} is {'masked' if masked else state}"
        why = "an encoder sends, and nothing of it can be watched"
        unmask = f"systemctl unmask {name}; " if masked else ""
        mend = f"{unmask}systemctl restart {name}; see why: journalctl -u {name} -n 50"
        return [
            critical(f"stream {stream} is published, and no process takes it", seen, why, mend, stream=stream)
        ]
    return [_hangs(stream, status, now)] if hangs(unit, status, now, monotonic) else []


def _hangs(stream: StreamName, status: Reading | None, now: float) -> Finding:
    age = None if status is None else status.age(now, "updated")
    old = "of an unknown time" if age is None else f"{age:.0f} s old"
    seen = "it wrote no status" if status is None else f"its status is {old}"
    seen += "; it writes two a second"
    return critical(
        f"the process of stream {stream} hangs",
        seen,
        "no new segment is made of what the encoder sends",
        f"systemctl restart {stream_unit(stream)}; see why: journalctl -u {stream_unit(stream)} -n 50",
        stream=stream,
    )


def oldest_newest(segment_seconds: float) -> float:
    """How old (s) the newest segment of a live stream may be: two are late, the status some seconds old.

    So many that a process which hangs is known to hang (FRESH_S) before its segments are missed.
    """
    return 3 * segment_seconds + 4


def judge_status(stream: StreamName, status: Reading, now: float, *, segment_seconds: float) -> list[Finding]:
    """What a stream says of itself; `now` is unix seconds."""
    findings = [_of_alert(stream, item) for item in status.items("alerts") if not item.flag("over")]
    named = {item.text("name") for item in status.items("alerts") if not item.flag("over")}
    speed, behind = status.number("speed"), status.number("behind")
    slow = speed is not None and behind is not None and speed < _SLOW and behind > _BEHIND_S
    if slow and Alert.SLOW_ENCODING.value.name not in named:
        seen = f"it takes {100 * (speed or 0):.0f} % of what it is given, and is {behind:.1f} s behind"
        why = "viewers fall behind, then rungs are given up and pictures left out"
        mend = Alert.SLOW_ENCODING.value.mends
        findings.append(
            warning(f"FFmpeg of stream {stream} does not keep up", seen, why, mend, stream=stream)
        )
    for item in status.items("dropped_rungs"):
        if Alert.RUNG_GIVEN_UP.value.name not in named:
            seen = f"{item.text('name')}: {item.text('reason')}"
            why = "viewers have fewer qualities, until another publisher comes"
            mend = Alert.RUNG_GIVEN_UP.value.mends
            findings.append(warning(f"stream {stream} has lost a rung", seen, why, mend, stream=stream))
    age, limit = status.age(now, "media", "newest_segment"), oldest_newest(segment_seconds)
    live = status.text("state") == State.LIVE.value and status.text("source", "text") is not None
    if live and not findings and age is not None and age > limit:
        seen = f"the newest is {age:.1f} s old; a segment is {segment_seconds:g} s"
        mend = f"see why: appliance doctor --stream {stream}; journalctl -u {stream_unit(stream)} -n 50"
        what = f"stream {stream} makes no segments"
        findings.append(critical(what, seen, "players stall", mend, stream=stream))
    return findings


def _of_alert(stream: StreamName, item: Reading) -> Finding:
    name = item.text("name") or "?"
    kind = next((alert for alert in Alert if alert.value.name == name), None)
    # A stream of another release may have alerts that this one does not know.
    other = (item.text("what") or name, item.text("mends") or f"appliance streams show {stream}")
    what, mends = _WORDS.get(name, other)
    return Finding(
        what=f"stream {stream}: {what}",
        seen=f"{item.text('value')} ({_when(item)})",
        why="viewers miss something" if kind in _LOST else "viewers may soon miss something",
        mend=mends.replace("NAME", stream),
        severity=Severity.CRITICAL if kind in _LOST else Severity.WARNING,
        stream=stream,
    )


def _when(item: Reading) -> str:
    """How often an alert's matter occurred, and when the last time: what is over soon is seen as that."""
    first, last = (short_time(item.text(name) or "?") for name in ("since", "last"))
    count = item.number("count") or 0
    often = f"once, at {last}" if count <= 1 else f"{count:.0f} times since {first}, the last time at {last}"
    return f"{often}; over when {QUIET_S:.0f} s pass without"


def judge_encoder(stream: StreamName, status: Reading, wanted: str) -> list[Finding]:
    """The encoder that was asked for is the one that works."""
    family = status.text("encoder", "family")
    if wanted == "auto" or family in {None, wanted}:
        return []
    seen = f"{family} encodes, {wanted} is set: {status.text('encoder', 'reason')}"
    why = "the CPU does what the GPU was bought for"
    return [
        warning(
            f"stream {stream} has another encoder",
            seen,
            why,
            "nvidia-smi; the setting encoder",
            stream=stream,
        )
    ]
