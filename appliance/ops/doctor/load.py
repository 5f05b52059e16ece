"""What this host was seen to carry: measured while it carries it, kept, and compared with what comes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import psutil

from appliance.health.finding import Finding, warning
from appliance.health.stream import judge_status
from appliance.media.status import State
from appliance.ops.doctor.summary import summary
from appliance.ops.doctor.versions import release
from appliance.printable import printable

if TYPE_CHECKING:
    from pathlib import Path

    from appliance.ops.doctor.host import Host

_PAUSE_S: Final = 5.0
_MEND: Final = "publish as many streams, and watch as much, as on the busiest day; meanwhile: appliance load"


@dataclass(frozen=True, slots=True)
class Load:
    """One measurement. `streams` were live all the time, `connections` of viewers there were at most."""

    began: str
    seconds: float
    streams: int
    connections: int
    troubles: tuple[str, ...]
    release: str
    cores: int
    memory_mib: int

    @classmethod
    def read(cls, file: Path) -> Load:
        """The one that was kept. Raises OSError, and ValueError when the file holds none."""
        try:
            found = json.loads(file.read_text(encoding="utf-8"))
            return cls(
                began=printable(str(found["began"])),
                seconds=float(found["seconds"]),
                streams=int(found["streams"]),
                connections=int(found["connections"]),
                troubles=tuple(printable(str(one)) for one in found["troubles"]),
                release=printable(str(found["release"])),
                cores=int(found["cores"]),
                memory_mib=int(found["memory_mib"]),
            )
        except (KeyError, TypeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(f"no measurement: {error}") from None

    def write(self, file: Path) -> None:
        """Keeps it; everybody may read it. Raises OSError."""
        file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        draft = file.with_suffix(".new")
        draft.write_text(json.dumps(asdict(self), indent=2) + "\n", encoding="utf-8")
        draft.chmod(0o644)
        draft.replace(file)


async def measure(host: Host, seconds: float, pause: float = _PAUSE_S) -> Load:
    """Looks at `host` for `seconds`, every `pause` seconds: what is live, who watches, what ails a stream."""
    began, deadline = time.time(), time.monotonic() + seconds
    streams: list[int] = []
    connections, troubles = 0, dict[str, None]()
    while True:
        # Anew each time: a host remembers what it has been asked.
        now = replace(host, _known={})
        figures, statuses = await asyncio.gather(summary(now), now.statuses())
        streams.append(int(figures["streams_live"]))
        connections = max(connections, int(figures["connections"]))
        for stream, status in statuses.items():
            if status.fresh(time.time()) and status.text("state") == State.LIVE.value:
                found = judge_status(
                    stream, status, time.time(), segment_seconds=host.settings.segment_seconds
                )
                troubles |= dict.fromkeys(finding.what for finding in found)
        left = deadline - time.monotonic()
        if left <= 0:
            break
        await asyncio.sleep(min(pause, left))
    at = datetime.fromtimestamp(began, UTC).isoformat(timespec="seconds")
    cores, mib = machine()
    return Load(
        at, round(time.time() - began, 1), min(streams), connections, tuple(troubles), release(), cores, mib
    )


def machine() -> tuple[int, int]:
    """Cores and MiB of memory."""
    return os.cpu_count() or 1, psutil.virtual_memory().total >> 20


async def load(host: Host) -> list[Finding]:
    """The host was seen to carry what is live now, as the machine and the release that it is now."""
    try:
        tried = await asyncio.to_thread(Load.read, host.load_file)
    except (OSError, ValueError) as error:
        seen = f"{host.load_file}: {getattr(error, 'strerror', None) or error}"
        why = "nobody knows how many streams and viewers are too many"
        return [warning("the load was never tried", seen, why, _MEND)]
    live = int((await summary(host))["streams_live"])
    cores, mib = machine()
    return judge_load(tried, live, release(), cores, mib)


def judge_load(tried: Load, live: int, running: str, cores: int, memory_mib: int) -> list[Finding]:
    """What is wrong with what was tried, for `live` streams on this machine and `running`, its release."""
    findings = []
    carried = f"{tried.streams} streams and {tried.connections} connections at {tried.began}"
    if tried.troubles:
        seen = f"{carried}: {'; '.join(tried.troubles)}"
        why = "on the busiest day viewers miss something"
        mend = f"fewer streams, a smaller ladder or more cores; then: {_MEND}"
        findings.append(warning("the load that was tried was too much", seen, why, mend))
    # The kernel counts a little of the memory differently from boot to boot.
    smaller = tried.cores > cores or tried.memory_mib > 1.05 * memory_mib
    if tried.release != running or smaller:
        seen = f"{carried}, by {tried.release} on {tried.cores} cores and {tried.memory_mib} MiB; "
        seen += f"now {running}, {cores} cores, {memory_mib} MiB"
        why = "what was carried then may be too much now"
        findings.append(warning("the load was tried with another release or machine", seen, why, _MEND))
    if live > tried.streams:
        seen = f"live: {live} stream{'' if live == 1 else 's'}; tried: {carried}"
        why = "nobody knows whether the host carries them"
        findings.append(warning("more is live than was ever tried", seen, why, _MEND))
    return findings
