"""What ails one live stream, by what its process writes of itself (`status.json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from appliance.health.finding import Finding, Severity, critical, warning
from appliance.media.alerts import QUIET_S, Alert
from appliance.media.status import State
from appliance.names import StreamName, stream_unit
from appliance.output import short_time

if TYPE_CHECKING:
    from appliance.media.status_reading import Reading

_SLOW: Final = 0.97
"""Share of the source that FFmpeg takes, below which it does not keep up; it is never exactly 1."""
_BEHIND_S: Final = 3.0
_LOST: Final = frozenset({Alert.WRITE_FAILED, Alert.PICTURES_LEFT_OUT, Alert.RUNS_FAIL, Alert.SOURCE_REFUSED})
"""Alerts by which viewers lose something now."""

_WORDS: Final = {alert.value.name: (alert.value.what, alert.value.mends) for alert in Alert}

NVENC_MEND: Final = (
    "where the CPU may encode: encoder: auto in control_settings, then playbooks/site.yml; where a GPU "
    "shall: playbooks/site.yml brings its driver, appliance doctor --only gpu says what ails it"
)
"""What mends it where `encoder: nvenc` is set, and NVENC does not encode."""


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
    """The encoder that was asked for is the one that works; of a stream that is not live nothing is said."""
    family = status.text("encoder", "family")
    if wanted == "auto" or family in {None, wanted} or status.text("state") != State.LIVE.value:
        return []
    seen = f"{family} encodes, {wanted} is set: {status.text('encoder', 'reason')}"
    why = (
        "the CPU does what the GPU was bought for"
        if wanted == "nvenc"
        else "it takes a GPU that it shall not"
    )
    again = f"what is set counts from the next publish on: appliance streams drop {stream}"
    mend = NVENC_MEND if wanted == "nvenc" else again
    return [warning(f"stream {stream} has another encoder", seen, why, mend, stream=stream)]
