"""The runbook holds every finding that the code can make, in words, and is what the code says today."""

from __future__ import annotations

import ast
import importlib
import pkgutil
from pathlib import Path
from types import FunctionType

import pytest

import appliance.ops.doctor
import appliance.ops.fleet
import appliance.ops.preflight
from appliance.health.finding import Finding, critical, warning
from appliance.media.alerts import Alert
from appliance.ops.doctor.table import ALL
from appliance.ops.runbook.makers import Entry, entries, severity_of, source
from appliance.ops.runbook.page import SECTIONS, page
from appliance.ops.runbook.texts import Scope, Texts, says

RUNBOOK = Path(appliance.ops.doctor.__path__[0], "RUNBOOK.md")
PACKAGES = (appliance.ops.doctor, appliance.ops.fleet, appliance.ops.preflight)
EVERY = [entry for _, _, checks in SECTIONS for _, _, function in checks for entry in entries(function)]


def test_it_is_up_to_date() -> None:
    assert RUNBOOK.read_text() == page(), "write it anew: make runbook"


def made_in(module: str) -> set[str]:
    """Where the functions and methods of a module make findings."""
    found = set()
    loaded = importlib.import_module(module)
    things = [thing for thing in vars(loaded).values() if getattr(thing, "__module__", "") == module]
    methods = [one for thing in things if isinstance(thing, type) for one in vars(thing).values()]
    for function in (*things, *methods):
        if isinstance(function, FunctionType) and not function.__name__.startswith("__"):
            scope = Scope(source(function), vars(loaded))
            calls = [node for node in ast.walk(scope.node) if isinstance(node, ast.Call)]
            found |= {f"{module}:{call.lineno}" for call in calls if severity_of(call, scope)}
    return found


@pytest.mark.parametrize(
    "module",
    [
        name
        for package in PACKAGES
        for _, name, _ in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")
        if name != Finding.__module__
    ],
)
def test_every_finding_of_a_module_is_in_it(module: str) -> None:
    assert made_in(module) <= {entry.place for entry in EVERY}


def test_that_would_miss_a_finding_that_is_in_none() -> None:
    assert (
        len({place for module in ("space", "units") for place in made_in(f"appliance.ops.doctor.{module}")})
        > 10
    )


@pytest.mark.parametrize("entry", EVERY, ids=lambda entry: entry.what)
def test_each_has_words(entry: Entry) -> None:
    for texts in (entry.why, entry.mend):
        assert any(map(says, texts)), "its words are not found: assign them where they are used"
    assert "…" not in entry.what


def test_what_is_in_it() -> None:
    text = page()
    assert (
        "- **MEDIA_ROOT is no tmpfs** (WARNING)\n  - means: a disk's write latency adds to every part\n"
        in text
    )
    assert "**PATH is (nearly) full (of files)** (WARNING or CRITICAL)" in text
    for check in ALL:
        assert f"### {check.name}\n" in text
    assert "    - UNIT cannot start: nobody can watch (appliance-delivery.service)\n" in text
    assert "What it finds stands above, at `capacity`.\n\n\n" in text, "no heading with nothing below"
    assert "  - mend, one of:\n    - give it the password of this host again" in text
    for alert in Alert:
        [its] = [entry for entry in set(EVERY) if entry.what == f"stream STREAM: {alert.value.what}"]
        assert its.mend == (alert.value.mends,)


TABLE = {"a": ("table one", "why one"), "b": ("table two", "why two")}
ROWS = (("x", "row x"), ("y", "row y"), ("z", "row z"))


def sample(path: str, full: bool, given: str) -> list[Finding]:
    """Say things in every way that is read."""
    make = critical if full else warning
    mend = f"see {path}; " + ("restart" if full else "reload") + f" {len(path)}"
    found = [make(f"{path} is {'' if full else 'nearly '}full", "x", given, mend)]
    mend = "another"
    what, why = TABLE.get(path, ("no table", "why none"))
    found.append(warning(what, "x", why, mend))
    for name, text in ROWS:
        found.append(Finding(what=f"it is {text}", seen="x", why="because", mend=f"drop {name}"))
    return found


def caller(path: str) -> list[Finding]:
    return sample(path, full=True, given="because I say so")


def shown(found: list[Entry]) -> list[tuple[str, str, Texts, Texts]]:
    return [(entry.severity, entry.what, entry.why, entry.mend) for entry in found]


def test_what_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("appliance.ops.runbook.makers._PACKAGES", (__name__,))
    assert shown(entries(caller)) == [
        (
            *("warning or critical", "PATH is (nearly) full", ("because I say so",)),
            ("see PATH; restart/reload N",),
        ),
        ("warning", "table one", ("why one",), ("another",)),
        ("warning", "table two", ("why two",), ("another",)),
        ("warning", "no table", ("why none",), ("another",)),
        ("critical", "it is row x", ("because",), ("drop x",)),
        ("critical", "it is row y", ("because",), ("drop y",)),
        ("critical", "it is row z", ("because",), ("drop z",)),
    ]
