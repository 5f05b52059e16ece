"""Our commands in the runbook, the README and the rules are ones that there are, with options they take."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer

from appliance.cli.main import AREAS, build_app

TOP = Path(__file__).resolve().parents[4]
PLACES = ("appliance/ops/doctor/RUNBOOK.md", "README.md", "files/prometheus/streaming.rules.yml")
_COMMAND = re.compile(r"(?<![\w./-])(?:\.venv/bin/)?appliance ((?:[\w./<>=-]+ ?)+)")


def printed(text: str) -> set[str]:
    """What stands behind `appliance` in code: all of the runbook's mends, and what is between backquotes."""
    code = [line.split("mend: ", 1)[-1] for line in text.splitlines() if not line.startswith("|")]
    code += re.findall(r"`([^`]+)`", text.replace("```", ""))
    return {match[1].strip() for line in code for match in _COMMAND.finditer(line)}


COMMANDS = sorted(
    {
        words
        for place in PLACES
        for words in printed((TOP / place).read_text())
        if words.split()[0] in AREAS or re.fullmatch(r"[a-z-]+ [a-z-]+.*--.*", words)
    }
)


def test_there_are_some() -> None:
    assert len(COMMANDS) > 40
    assert {"valkey REPLICAOF NO ONE", "valkey CLIENT LIST", "doctor --stream STREAM"} <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS)
def test_there_is_such_a_command(words: str) -> None:
    area, *rest = words.split()
    assert area in AREAS
    root: Any = typer.main.get_command(build_app(area))
    command = root.commands[area]
    while getattr(command, "commands", None) and rest and rest[0] in command.commands:
        command = command.commands[rest.pop(0)]
    # What is left is an option or, in capitals, the place of a name.
    names = getattr(command, "commands", {})
    assert not names or not rest or not rest[0].islower() or rest[0][0] in "-/", f"{words}: {list(names)}"
    known = {
        option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)
    }
    before = rest[: rest.index("--")] if "--" in rest else rest
    for word in before:
        if word.startswith("-"):
            assert word.split("=")[0] in known, f"{words}: {area} takes {sorted(known)}"


def test_no_command_asks_valkey_without_socket_and_password() -> None:
    for place in PLACES:
        assert not re.search(r"valkey-cli [A-Z-]", (TOP / place).read_text()), place
