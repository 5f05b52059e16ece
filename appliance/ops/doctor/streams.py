"""The live streams as their processes see them: what ails each, and whether FFmpeg keeps up."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from appliance.control.stat import StatUnavailableError
from appliance.health.finding import Finding, critical
from appliance.health.stream import judge_encoder, judge_status
from appliance.names import StreamName, stream_unit
from appliance.ops.doctor.services import ingest_stat
from appliance.ops.doctor.units import ask_units, show_units

if TYPE_CHECKING:
    from collections.abc import Mapping, Set

    from appliance.media.status_reading import Reading
    from appliance.ops.doctor.host import Host
    from appliance.ops.doctor.units import Unit

_STARTS_S: Final = 10.0
"""So long a process may take, on a busy host, until it writes its first status; what lies there until then is
that of the one before."""


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
