"""The runbook as a page."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

from appliance.ops.doctor.check import broken
from appliance.ops.doctor.stream_path import follow
from appliance.ops.doctor.table import CHECKLIST, CHECKS
from appliance.ops.fleet.examine import between_hosts, examine
from appliance.ops.preflight.table import OF_HOSTS, OF_SITE
from appliance.ops.runbook.makers import Entry, entries
from appliance.ops.runbook.texts import Texts, says

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_HEAD: Final = """\
# Runbook

Everything that `appliance doctor`, `appliance fleet doctor` and `appliance preflight` can find, what it means
and what mends it. Written from their code by `make runbook`; changes made here are lost. Words in CAPITALS
are what the host fills in, (words in brackets) are there or not.
"""

Section = tuple[str, str, "Sequence[tuple[str, tuple[str, ...], Any]]"]

SECTIONS: Final[Sequence[Section]] = (
    (
        "On a host",
        "`appliance doctor`, as root. What may be the cause of something else stands first.",
        [("any check", (), broken), *((check.name, check.after, check.run) for check in CHECKS)],
    ),
    (
        "One stream",
        "`appliance doctor --stream NAME`: the first step at which it stops.",
        [("its way", (), follow)],
    ),
    (
        "From the controller, and between hosts",
        "`appliance fleet doctor`.",
        [("from outside", (), examine), ("hosts compared", (), between_hosts)],
    ),
    (
        "Before the public comes: the inventory",
        "`appliance preflight`, on the controller; where it is meant so: `preflight_accepted: [NAME]`.",
        [(question.name, (), question.ask) for question in (*OF_SITE, *OF_HOSTS)],
    ),
    (
        "Before the public comes: a host",
        "`appliance preflight`, over SSH; on the host itself `appliance doctor --checklist`.",
        [(check.name, check.after, check.run) for check in CHECKLIST],
    ),
)
"""Title, introduction, and of each check its name, what it may follow from, and the function."""


def page() -> str:
    """The whole page, in Markdown."""
    return "\n".join(_lines())


def _lines() -> Iterator[str]:
    yield _HEAD
    told: set[Entry] = set()
    place: dict[Entry, str] = {}
    for title, introduction, checks in SECTIONS:
        yield f"## {title}\n\n{introduction}\n"
        for name, after, function in checks:
            every = entries(function)
            follows = f" May follow from: {', '.join(after)}." if after else ""
            new = [entry for entry in every if entry not in told]
            above = ""
            if len(new) < len(every):
                more = "More of it" if new else "What it finds"
                where = dict.fromkeys(place[entry] for entry in every if entry in told)
                above = f" {more} stands above, {', '.join(where)}."
            yield f"### {name}\n\n{_first_line(function)}{follows}{above}\n"
            yield from map(_row, new)
            yield ""
            place |= dict.fromkeys(new, f"at `{name}`")
            told.update(every)


def _first_line(function: Any) -> str:
    """What a check makes sure of, by its docstring."""
    return (inspect.getdoc(function) or "").partition("\n")[0]


def _row(entry: Entry) -> str:
    severity = entry.severity.upper().replace(" OR ", " or ")
    return f"- **{entry.what}** ({severity})\n{_item('means', entry.why)}\n{_item('mend', entry.mend)}"


def _item(name: str, texts: Texts) -> str:
    """One text, or a list of several; a name for what only a host can tell says nothing beside words."""
    words = [text.strip() for text in texts if says(text)] or list(texts)
    if len(words) == 1:
        return f"  - {name}: {words[0]}"
    return "\n".join((f"  - {name}, one of:", *(f"    - {text}" for text in words)))
