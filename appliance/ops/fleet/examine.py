"""The doctor on every host, and what only shows from outside or between hosts."""

from __future__ import annotations

import socket
import time
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from appliance.health.finding import Finding, critical, warning
from appliance.ops.fleet.connection import UnreachableError
from appliance.ops.fleet.session import CUT_OFF, Done, as_root
from appliance.plain_json import read_object
from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.ops.fleet.everywhere import Result
    from appliance.ops.fleet.session import Session

_OFFSET_S: Final = 0.5
_PORT_SECONDS: Final = 3.0


@dataclass(frozen=True, slots=True)
class HostReport:
    """What one host's doctor said, `offset` s its clock is ahead of ours, and what is wrong from outside."""

    described: dict[str, Any]
    findings: tuple[Finding, ...]
    versions: dict[str, str]
    offset: float | None
    precision: float


@dataclass(frozen=True, slots=True)
class NoStreamingHost:
    """A host without `appliance` that needs none, such as a monitor apart."""


class NotDeployedError(UnreachableError):
    """The host answers, and has no doctor."""


_NOT_FOUND: Final = 127
"""Exit status of a shell, or timeout(1), that knows no such program."""


def examine(
    session: Session, *, seconds: float, only: Sequence[str] = (), words: Sequence[str] = ()
) -> HostReport:
    """Has the host's own doctor look at it, and looks at its ports and its clock from here.

    `words` are further ones of its command line. Raises UnreachableError, also when the host's doctor gives
    no report.
    """
    offset, precision = _clock(session)
    command = ["appliance", "doctor", "--json", *words]
    command += [word for name in only for word in ("--only", name)]
    done = session.run(as_root(session.target, command), seconds=seconds)
    try:
        described = read_object(done.text)
        findings = tuple(Finding.read(each) for each in described["findings"])
        versions = {str(name): printable(str(value)) for name, value in described["versions"].items()}
        ports = [int(port) for port in described["ports"] if 0 < int(port) < 1 << 16]
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
        raise _no_report(done) from None
    outside = [] if only else _unreachable_ports(session, ports, findings)
    return HostReport(described, (*findings, *outside), versions, offset, precision)


def examine_any(
    session: Session, *, seconds: float, only: Sequence[str] = ()
) -> HostReport | NoStreamingHost:
    """As `examine`, also of hosts that are no streaming hosts. Raises UnreachableError."""
    try:
        return examine(session, seconds=seconds, only=only)
    except NotDeployedError:
        if session.target.streaming:
            raise
        return NoStreamingHost()


def has_no_appliance(done: Done) -> bool:
    """Whether that is how the shell, timeout(1) or sudo says that a host has no `appliance`."""
    return done.status == _NOT_FOUND or "command not found" in (done.errors or done.text)


def _no_report(done: Done) -> UnreachableError:
    said = (done.errors or done.text).strip()[-300:]
    if has_no_appliance(done):
        return NotDeployedError(f"there is no `appliance` on it: {said}", "run playbooks/site.yml")
    said = "it took too long" if done.status == CUT_OFF else said
    mend = "run it there and see: appliance doctor"
    return UnreachableError(f"its doctor gave no report (exit status {done.status}): {said}", mend)


def _clock(session: Session) -> tuple[float | None, float]:
    """How far (s) the host's clock is ahead, and how well that is known: half of the way there and back."""
    sent = time.time()
    done = session.run(["date", "+%s.%N"], seconds=10)
    received = time.time()
    try:
        return float(done.text) - (sent + received) / 2, (received - sent) / 2
    except ValueError:
        return None, 0.0


def _unreachable_ports(session: Session, ports: list[int], known: Sequence[Finding]) -> list[Finding]:
    """What is served and not reached from here; not behind a jump host, nor where the host knows it."""
    way = session.target.way
    if way is None or way.jumps or way.proxy_command or any(one.check in _PORT_CHECKS for one in known):
        return []
    findings = []
    for port in ports:
        try:
            socket.create_connection((way.host, port), timeout=_PORT_SECONDS).close()
        except OSError as error:
            reason = error.strerror or "no answer in time"
            findings.append(
                warning(
                    f"port {port} cannot be reached from here",
                    f"{way.host} port {port}: {reason}; on the host itself it answers",
                    "encoders or viewers may not get there either",
                    "see the firewalls between: the host's (firewall_tcp_ports), the network's",
                ).of("reachable")
            )
    return findings


_PORT_CHECKS: Final = frozenset({"units", "ports", "taken-ports", "firewall"})


def between_hosts(results: Sequence[Result[HostReport]]) -> dict[str, list[Finding]]:
    """What shows only when hosts are compared, by host: unreachable ones, versions, clocks."""
    found: dict[str, list[Finding]] = {result.target.name: [] for result in results}
    reports = {result.target.name: result.value for result in results if result.value is not None}
    for result in results:
        if result.value is None:
            why = "nobody can look after it"
            what = "the host cannot be looked at"
            one = critical(what, result.failure or "?", why, result.mend or "ssh there, and look").of("ssh")
            found[result.target.name].append(one)
    for name in dict.fromkeys(key for report in reports.values() for key in report.versions):
        usual = Counter(report.versions.get(name, "absent") for report in reports.values()).most_common()
        for host, report in reports.items():
            its = report.versions.get(name, "absent")
            if len(usual) > 1 and its != usual[0][0]:
                found[host].append(_drift(name, its, usual[0][0], usual[0][1]))
    for host, report in reports.items():
        if report.offset is not None and abs(report.offset) > _OFFSET_S + report.precision:
            seen = f"{report.offset:+.1f} s from the clock here (± {report.precision:.1f} s)"
            why = "tokens end early or late, logs of hosts do not fit each other"
            mend = "timedatectl timesync-status, there and here; base_ntp_servers"
            found[host].append(warning("its clock differs", seen, why, mend).of("clock-here"))
    return found


def _drift(name: str, its: str, usual: str, hosts: int) -> Finding:
    seen = f"{name} {its}; {hosts} host{'s have' if hosts > 1 else ' has'} {usual}"
    why = "hosts that should do the same may not"
    mend = "run playbooks/site.yml for all; kernel and packages: apt-get upgrade, and a reboot when it suits"
    return warning(f"{name} is another version than elsewhere", seen, why, mend).of("versions")
