"""All hosts and streams as they are now, once for all browsers that look."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any, Final

from appliance.control.dashboard.sampler import EVERY_SECONDS
from appliance.control.single_flight import SingleFlight
from appliance.state.host_reports import HostReports

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from appliance.control.context import Control
    from appliance.state.host_reports import Report
    from appliance.state.lease import Lease

SILENT_SECONDS: Final = 5 * EVERY_SECONDS
"""A host that told nothing for so long is silent."""

_GONE_SECONDS: Final = 600.0
"""After so long its streams are left out; it is listed itself until it is forgotten."""

_ORDER: Final = {"critical": 0, "warning": 1, "good": 2, "waiting": 3, "over": 4}


class Overview:
    """Reads what the hosts told, at most once in EVERY_SECONDS.

    Parameters
    ----------
    clock
        Monotonic seconds.
    """

    def __init__(self, control: Control, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._control = control
        self._reports = HostReports(control.state)
        self._clock = clock
        self._made = SingleFlight[str]()
        self._text = ""
        self._at: float | None = None

    async def text(self) -> str:
        """The overview as JSON on one line. Raises StateUnavailableError."""
        if self._at is None or self._clock() - self._at > 0.8 * EVERY_SECONDS:
            return await self._made(None, self._make)
        return self._text

    async def _make(self) -> str:
        reports, leases = await self._reports.all(), await self._control.leases.all()
        content = overview(reports, leases, here=self._control.host)
        self._text = json.dumps(content, separators=(",", ":"))
        self._at = self._clock()
        return self._text


def overview(reports: Sequence[Report], leases: Sequence[Lease], *, here: str) -> dict[str, Any]:
    """What the dashboard shows: {totals, streams, hosts}; what ails something stands first.

    Of a host that is silent the streams are shown as they were, and count in no total.
    """
    publishers = {lease.stream: lease for lease in leases}
    streams: dict[str, dict[str, Any]] = {}
    for report in sorted(reports, key=lambda report: report.age > SILENT_SECONDS):
        for stream in report.content.get("streams", []) if report.age <= _GONE_SECONDS else ():
            # One that moved is left on its host of before for a while.
            lease = publishers.get(stream["name"])
            if stream["name"] not in streams or (lease and lease.host == report.host):
                streams[stream["name"]] = _shown(stream, report, lease)
    for name in publishers.keys() - streams.keys():
        streams[name] = _untold(publishers[name])
    telling = [report.content for report in reports if report.age <= SILENT_SECONDS]
    live = [stream for stream in streams.values() if stream["publisher"] is not None]
    return {
        "here": here,
        "totals": {
            "streams": len(live),
            **{
                name: sum(content.get(name, 0) for content in telling)
                for name in ("viewers", "sent_kbps", "received_kbps")
            },
        },
        "streams": sorted(streams.values(), key=lambda each: (_ORDER.get(each["level"], 0), each["name"])),
        "hosts": [_host(report) for report in reports],
    }


def _shown(stream: Mapping[str, Any], report: Report, lease: Lease | None) -> dict[str, Any]:
    shown = {**stream, "host": report.host, "publisher": None if lease is None else _publisher(lease)}
    if report.age > SILENT_SECONDS:
        shown |= {"level": "critical", "words": f"Its host {report.host} is silent; as it was then"}
    elif lease is not None and stream["level"] == "over":
        shown |= {"level": "critical", "words": "Somebody publishes it, and no process takes it"}
    return shown


def _untold(lease: Lease) -> dict[str, Any]:
    """A stream that somebody publishes and no host tells of: in its first seconds, or for good."""
    return {
        "name": lease.stream,
        "level": "waiting",
        "words": "Somebody publishes it; its process has said nothing yet",
        "findings": [],
        "rungs": [],
        "host": lease.host,
        "publisher": _publisher(lease),
    }


def _publisher(lease: Lease) -> dict[str, str]:
    return {"since": lease.started_at, "client_ip": lease.client_ip, "key_id": lease.key_id}


def _host(report: Report) -> dict[str, Any]:
    content = {name: value for name, value in report.content.items() if name != "streams"}
    silent = report.age > SILENT_SECONDS
    return {
        **content,
        "host": report.host,
        "age": round(report.age),
        "silent": silent,
        "streams": sum(bool(stream.get("live")) for stream in report.content.get("streams", [])),
    }
