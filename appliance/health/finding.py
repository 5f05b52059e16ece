"""What the doctor says: one finding, and how bad it is."""

from __future__ import annotations

import enum
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from appliance.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable


class Severity(enum.IntEnum):
    """How bad a finding is; its number is the exit status of `appliance doctor`."""

    WARNING = 1
    """Nobody is kept from publishing or watching yet."""
    CRITICAL = 2
    """Somebody is, or will be at the next occasion."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is wrong.

    Parameters
    ----------
    what
        The thing that is wrong, as an operator would say it.
    seen
        The value that was seen, and what is allowed. Never a secret.
    why
        What it means for publishers, viewers or operators.
    mend
        The command, or the change, that mends it.
    check
        The check that found it, of `appliance.ops.doctor.table`; written by who runs it.
    stream
        The stream that it is about; empty when it is about the host.
    follows
        Checks whose findings may be its cause; written when findings are put in order.
    """

    what: str
    seen: str
    why: str
    mend: str
    severity: Severity = Severity.CRITICAL
    check: str = ""
    stream: str = ""
    follows: tuple[str, ...] = ()

    def of(self, check: str) -> Finding:
        """The same, found by `check`; what no terminal should get is replaced by question marks."""
        what, seen, why, mend = map(printable, (self.what, self.seen, self.why, self.mend))
        return replace(self, check=check, what=what, seen=seen, why=why, mend=mend)

    def described(self) -> dict[str, Any]:
        """For JSON; the severity by its name in small letters."""
        return asdict(self) | {"severity": self.severity.name.lower(), "follows": list(self.follows)}

    @classmethod
    def read(cls, described: dict[str, Any]) -> Finding:
        """What `described` gave. Raises ValueError when it is none."""
        try:
            texts = {
                name: printable(str(described[name]))
                for name in ("what", "seen", "why", "mend", "check", "stream")
            }
            severity = Severity[str(described["severity"]).upper()]
            follows = tuple(str(name) for name in described["follows"])
        except (KeyError, TypeError) as error:
            raise ValueError(f"no finding: {error}") from None
        return cls(severity=severity, follows=follows, **texts)


def warning(what: str, seen: str, why: str, mend: str, *, stream: str = "") -> Finding:
    """A finding that keeps nobody from anything yet."""
    return Finding(what=what, seen=seen, why=why, mend=mend, severity=Severity.WARNING, stream=stream)


def critical(what: str, seen: str, why: str, mend: str, *, stream: str = "") -> Finding:
    """A finding that keeps somebody from publishing or watching."""
    return Finding(what=what, seen=seen, why=why, mend=mend, stream=stream)


def worst(findings: Iterable[Finding]) -> int:
    """The exit status: 0 when there is no finding."""
    return max((int(finding.severity) for finding in findings), default=0)
