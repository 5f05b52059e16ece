"""Run suites of tests and print what was tested and how long it took.

``tests/run.py SUITE…``; the suites stand in :data:`SUITES`. Steps of one suite that can run at the same time
do, each with its output kept together. Exit status 0 when everything passed, else 1.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from xml.etree import ElementTree as ET

TOP = Path(__file__).resolve().parent.parent
BIN = Path(sys.executable).parent
BESIDE = (
    "tests/integration/control/dashboard",
    "tests/integration/fleet",
    "tests/integration/media/package/test_chromium.py",
    "tests/integration/monitoring",
    "tests/integration/player",
)
"""What a machine has time for while Ansible waits for molecule's host: pages in Chromium, and operating."""


@dataclass(frozen=True)
class Step:
    """One program that checks something; a pytest run reports its tests through a JUnit file."""

    name: str
    argv: tuple[str, ...]
    pytest: bool = False
    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What a step found: tests by how they ended, and its seconds."""

    suite: str
    step: Step
    passed: int
    failed: int
    skipped: int
    seconds: float


def tool(name: str, *arguments: str) -> Step:
    """Return a step that runs a program of the virtual environment."""
    return Step(name, (str(BIN / name), *arguments))


def tests(name: str, *arguments: str, **env: str) -> Step:
    """Return a step that runs pytest."""
    return Step(name, (str(BIN / "python"), "-m", "pytest", "-q", *arguments), pytest=True, env=env)


def tracked(*patterns: str) -> list[str]:
    """Return the tracked files that match, so that nothing made in the checkout is linted."""
    listed = subprocess.run(
        ["git", "ls-files", *patterns], cwd=TOP, check=True, capture_output=True, text=True
    )
    return [name for name in listed.stdout.splitlines() if (TOP / name).exists()]


def shell_scripts() -> list[str]:
    """Return the tracked files that a shell runs or reads; a template is none before it is rendered."""
    shebangs = (b"#!/bin/sh", b"#!/usr/bin/env bash", b"#!/bin/bash")
    scripts = [
        name for name in tracked() if name.endswith(".sh") or (TOP / name).read_bytes().startswith(shebangs)
    ]
    return [name for name in scripts if not name.endswith(".j2")]


def check_steps() -> list[Step]:
    """Lint, types and unit tests."""
    first = ["tests/unit/media", "tests/unit/control", "tests/unit/provision"]
    return [
        # two of about the same length, for two cores
        tests("unit: media, control, provision", *first),
        tests("unit: others", "tests/unit", *(f"--ignore={path}" for path in first)),
        tool("ansible-lint", "--offline", "-q"),
        tool("mypy"),
        tool("ruff", "check"),
        Step("ruff format", (str(BIN / "ruff"), "format", "--check")),
        tool("yamllint", "--strict", *tracked("*.yml", "*.yaml")),
        tool("shellcheck", *shell_scripts()),
    ]


def integration_steps() -> list[Step]:
    """Streams play in real time and wait most of it, so three steps share two cores."""
    sessions = tracked("tests/integration/media/test_session*.py")
    own = [*sessions, *BESIDE, "tests/integration/control"]
    return [
        tests("streams", *sessions),
        tests("control", "tests/integration/control", *(f"--ignore={path}" for path in BESIDE)),
        tests("others", "tests/integration", *(f"--ignore={path}" for path in own)),
    ]


def beside() -> Step:
    """Return the step for what runs beside molecule, or with the rest of integration where that does not."""
    return tests("pages, fleet, monitoring", *BESIDE)


def goes_on(suites: list[str]) -> bool:
    """Whether e2e goes on with molecule's host, and chaos with e2e's, which it takes down."""
    return {"molecule", "e2e", "chaos"} <= set(suites)


def molecule_memory() -> dict[str, str]:
    """Return where molecule notes which hosts there are; it begins with none.

    A host that it left to the next suite is down by now. Where it believes in it, it makes no other.
    """
    folder = TOP / ".cache" / "molecule"
    shutil.rmtree(folder, ignore_errors=True)
    return {"MOLECULE_EPHEMERAL_DIRECTORY": str(folder)}


def suite_steps(suite: str, suites: list[str]) -> list[Step]:
    """Return the steps of a suite that runs together with others."""
    match suite:
        case "check":
            return check_steps()
        case "integration":
            return [*integration_steps(), *([] if "molecule" in suites else [beside()])]
        case "molecule" | "vm" | "gpu":
            more = [beside()] if suite == "molecule" and "integration" in suites else []
            kept = ["--destroy=never"] if suite == "molecule" and goes_on(suites) else []
            scenario = "default" if suite == "molecule" else suite
            argv = (str(BIN / "molecule"), "test", "-s", scenario, *kept)
            return [Step("molecule", argv, env=molecule_memory()), *more]
        case "soak":
            return [tests(suite, "-s", "tests/soak")]
        case "e2e" | "chaos" if goes_on(suites):
            keep = {"APPLIANCE_TEST_KEEP": "1"} if suite == "e2e" else {}
            return [tests(suite, f"tests/{suite}", APPLIANCE_TEST_LAB="molecule", **keep)]
        case _:
            return [tests(suite, f"tests/{suite}")]


_CORES = os.cpu_count() or 1

# What each suite does, and how many of its steps run at the same time: as many as there are cores where they
# compute, all where they mostly wait.
SUITES = {
    "check": ("lint, types and unit tests", _CORES),
    "integration": ("parts against real nginx, FFmpeg and Valkey", max(3, _CORES)),
    "molecule": ("the site on a bare host: check mode, converge, idempotence, host tests", 2),
    "e2e": ("published pictures and sound come out as they went in", 1),
    "chaos": ("parts are killed and the stream plays on", 1),
    "doctor": ("faults are planted on a host, and the doctor names them", 1),
    "alerts": ("faults are planted on a host, and its alerts fire and are over", 1),
    "ffmpeg": ("an FFmpeg is compiled, and put to use and away under a live stream", 1),
    "vm": ("the site in a virtual machine, rebooted", 1),
    "gpu": ("a host prepared for a GPU: the driver is built, streams play without, it is removed", 1),
    "bench": ("measurements", 1),
    "soak": ("a stream for an hour, whose encoder drops out and whose keys change", 1),
}


def run(suite: str, step: Step, live: bool) -> Outcome:
    """Run one step; its output is shown as it comes when ``live``, else at the end when it failed."""
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "junit.xml")
        argv = [*step.argv, f"--junitxml={report}"] if step.pytest else list(step.argv)
        # what a checker calls (ansible-lint calls ansible) is found beside it
        environment = {**os.environ, "PATH": f"{BIN}:{os.environ['PATH']}", **step.env}
        captured = None if live else subprocess.PIPE
        if live:
            print(f"\n── {suite}: {step.name}", flush=True)
        done = subprocess.run(
            argv,
            cwd=TOP,
            env=environment,
            check=False,
            stdout=captured,
            stderr=None if live else subprocess.STDOUT,
            text=True,
        )
        seconds = time.monotonic() - started
        if not live:
            verdict = "ok" if done.returncode == 0 else f"FAILED (exit {done.returncode})"
            output = "" if done.returncode == 0 else f"\n{done.stdout}"
            print(f"── {suite}: {step.name}: {verdict}, {seconds:.1f} s{output}", flush=True)
        passed, failed, skipped = counts(report) if report.exists() else (0, 0, 0)
    if not step.pytest:
        passed, failed = (1, 0) if done.returncode == 0 else (0, 1)
    elif done.returncode != 0 and failed == 0:
        failed = 1  # it did not get as far as a test
    return Outcome(suite, step, passed, failed, skipped, seconds)


def counts(report: Path) -> tuple[int, int, int]:
    """Return (passed, failed, skipped) of a JUnit file that pytest wrote."""
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in ET.parse(report).getroot().iter("testsuite"):  # noqa: S314 - written by our own pytest
        for key in totals:
            totals[key] += int(suite.get(key, "0"))
    failed = totals["failures"] + totals["errors"]
    return totals["tests"] - failed - totals["skipped"], failed, totals["skipped"]


def table(outcomes: list[Outcome]) -> str:
    """Return a line for each step."""
    lines = [f"{'suite':<12} {'step':<14} {'passed':>7} {'failed':>7} {'skipped':>8} {'seconds':>8}  what"]
    for outcome in outcomes:
        what = SUITES[outcome.suite][0]
        lines.append(
            f"{outcome.suite:<12} {outcome.step.name:<14} {outcome.passed:>7} {outcome.failed:>7} "
            f"{outcome.skipped:>8} {outcome.seconds:>8.1f}  {what}"
        )
    return "\n".join(lines)


def main(suites: list[str]) -> int:
    """Run the suites in order; a suite that fails does not keep the others from running."""
    unknown = sorted(set(suites) - set(SUITES))
    if unknown or not suites:
        print(
            f"unknown suite {', '.join(unknown) or '(none given)'}; known: {', '.join(SUITES)}",
            file=sys.stderr,
        )
        return 64
    started = time.monotonic()
    outcomes: list[Outcome] = []
    for suite in suites:
        steps = suite_steps(suite, suites)
        together = min(SUITES[suite][1], len(steps))
        if together > 1:
            print(
                f"\n── {suite}: {len(steps)} steps, {together} at a time, each is told of when it ends",
                flush=True,
            )
        with ThreadPoolExecutor(together) as pool:
            outcomes += pool.map(partial(run, suite, live=together == 1), steps)
    print(f"\n{table(outcomes)}\n")
    passed, failed, skipped = (
        sum(getattr(o, key) for o in outcomes) for key in ("passed", "failed", "skipped")
    )
    parts = [f"{n} {word}" for n, word in ((failed, "failed"), (passed, "passed"), (skipped, "skipped")) if n]
    print(f" {', '.join(parts)} in {time.monotonic() - started:.2f}s ".center(80, "="))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
