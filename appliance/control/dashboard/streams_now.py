"""A stream in the words and figures of the dashboard, by what its process writes (`status.json`)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from appliance.health.finding import Severity
from appliance.health.stream import judge_status
from appliance.media.status import State

if TYPE_CHECKING:
    from appliance.media.status_reading import Reading
    from appliance.names import StreamName

_SHOWN_SECONDS: Final = 600.0
"""How long a stream is shown whose process says nothing any more."""

_MOST_RUNGS: Final = 12
_MOST_FINDINGS: Final = 10
_LONGEST_TEXT: Final = 300
_MOST_KBPS: Final = 10_000_000


def stream_now(
    name: StreamName, status: Reading, now: float, *, segment_seconds: float
) -> dict[str, Any] | None:
    """What the dashboard shows of the stream at `now` (Unix seconds); None when there is nothing left of it.

    level: how it does (good, warning, critical, waiting, over), and `words` for it.
    """
    state, age = status.text("state"), status.age(now, "updated")
    if not status.fresh(now):
        if state == State.ENDED.value or age is None or age > _SHOWN_SECONDS:
            return None
        words = f"Its process has said nothing for {age:.0f} s"
        return {"name": name, "level": "over", "words": words, "findings": [], "rungs": []}
    findings = judge_status(name, status, now, segment_seconds=segment_seconds)
    level, words = _health(status)
    if findings:
        worst = max(findings, key=lambda finding: finding.severity)
        level = "critical" if worst.severity is Severity.CRITICAL else "warning"
        words = _sentence(worst.what, name)
    key_since = status.time("media", "content_key", "since")
    return {
        "name": name,
        "level": level,
        "words": words,
        "findings": [
            {
                "level": finding.severity.name.lower(),
                "what": _sentence(finding.what, name),
                "seen": finding.seen[:_LONGEST_TEXT],
                "mend": finding.mend[:_LONGEST_TEXT],
            }
            for finding in findings[:_MOST_FINDINGS]
        ],
        "live": state == State.LIVE.value,
        "since": status.time("since"),
        "source": (status.text("source", "text") or "")[:_LONGEST_TEXT],
        "encoder": status.text("encoder", "family"),
        "received_kbps": None
        if (received := status.number("bitrate_kbps")) is None
        else min(received, _MOST_KBPS),
        "fps": status.number("fps"),
        "speed": status.number("speed"),
        "behind": status.number("behind"),
        "latency": _latency(status),
        "rungs": _rungs(status),
        "key": None
        if key_since is None
        else {"id": status.text("media", "content_key", "kid"), "since": key_since},
    }


def _health(status: Reading) -> tuple[str, str]:
    match status.text("state"):
        case State.LIVE.value:
            return "good", "Good"
        case State.WAITING.value:
            return "waiting", _sentence(f"waiting: {status.text('reason') or 'no publisher yet'}")
        case _:
            return "over", "Over"


def _latency(status: Reading) -> float | None:
    """Seconds from the arrival of a part's last frame to its publication, in the slowest rendition."""
    delays = [item.number("delay_seconds") for item in status.items("media", "renditions")]
    slowest = max((delay for delay in delays if delay is not None), default=None)
    # Nothing is published before it is there, but the clock may have been set back meanwhile.
    return None if slowest is None else max(0.0, slowest)


def _rungs(status: Reading) -> list[dict[str, Any]]:
    measured = {item.text("name"): item.number("kbps") for item in status.items("media", "renditions")}
    dropped = {item.text("name") for item in status.items("dropped_rungs")}
    rungs = [
        {
            "name": item.text("name"),
            "width": item.number("width"),
            "height": item.number("height"),
            "fps": item.number("fps"),
            "kbps": measured.get(item.text("name")),
            "copied": item.flag("copied"),
            "dropped": False,
        }
        for item in status.items("rungs")
        if item.text("name") not in dropped
    ]
    rungs += [{"name": name, "dropped": True} for name in sorted(filter(None, dropped))]
    return rungs[:_MOST_RUNGS]


def _sentence(text: str, stream: str = "") -> str:
    """`text` with a capital letter, cut to what a table has room for; it stands in the line of `stream`."""
    text = text.removeprefix(f"stream {stream}: ").removeprefix(f"stream {stream} ")
    return (text[:1].upper() + text[1:])[:_LONGEST_TEXT]
