"""Whoever reads what a verb prints may leave, or know fewer characters: no traceback, no other's fault."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from appliance.cli.standard_streams import LEFT

TOP = Path(__file__).resolve().parents[3]

# Every way to print that a verb has; more of it than a pipe holds.
BY = {
    "echo": "for _ in range(9000): typer.echo('x' * 80)",
    "print": "for _ in range(9000): print('x' * 80)",
    "rich": "from appliance.output import console\nfor _ in range(9000): console().print('x' * 80)",
    "at the end": "print('x' * 80)",
    "standard error": "for _ in range(9000): print('x' * 80, file=sys.stderr)",
    "asyncio": "import asyncio\nasync def f():\n    for _ in range(9000): print('x' * 80)\nasyncio.run(f())",
    # As `fleet exec` and `fleet logs --follow` do it: from the thread of a host.
    "a host's thread": """
from appliance.ops.fleet.ask import on_lines
from appliance.ops.fleet.ssh_options import Options
from appliance.ops.fleet.targets import Target
here = [Target(name, None, Options.parse([])) for name in ("one", "two")]
for one in on_lines(here, ["yes"], 60, 2, root=False): print(one, file=sys.stderr)
""",
}

# The verb `bans` is another one here: what `main` makes of what a verb does is what counts.
_VERB = """
import sys, types, typer
from appliance.cli.main import main
module = types.ModuleType("appliance.cli.bans")
module.app = typer.Typer()
@module.app.callback(invoke_without_command=True)
def verb():
    exec(sys.argv[1], {"typer": typer, "sys": sys})
sys.modules["appliance.cli.bans"] = module
main(["bans"])
"""


def run(script: str, out: int, err: int, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-c", _VERB, script],
        stdin=subprocess.DEVNULL,
        stdout=out,
        stderr=err,
        env={**os.environ, "PYTHONPATH": str(TOP), **environment},
    )


@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("way", BY)
def test_who_leaves_ends_the_verb_and_nobody_else_is_blamed(
    way: str, unbuffered: str, tmp_path: Path
) -> None:
    reading, writing = os.pipe()
    said = tmp_path / "said"
    with said.open("wb") as kept:
        pipes = (kept.fileno(), writing) if way == "standard error" else (writing, kept.fileno())
        process = run(BY[way], *pipes, PYTHONUNBUFFERED=unbuffered)
        os.close(writing)
        if way != "at the end":
            os.read(reading, 80)
        os.close(reading)
        assert process.wait(30) == LEFT == 141
    assert said.read_bytes() == b""


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "latin-1"},
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
        {"LC_ALL": "C"},
    ],
    ids=" ".join,
)
def test_what_the_reader_has_no_character_for_breaks_nothing(environment: dict[str, str]) -> None:
    script = """
from rich.table import Table
from appliance.output import console
print("origin  F\\u00fcllstand \\u2192 97 %")
typer.echo("echo  F\\u00fcllstand \\u2192 97 %")
table = Table("host", "said")
table.add_row("origin", "F\\u00fcllstand \\u2192 97 %")
console().print(table)
print("fault: F\\u00fcllstand \\u2192 97 %", file=sys.stderr)
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("LC_", "LANG"))}
    done = subprocess.run(
        [sys.executable, "-c", _VERB, script],
        capture_output=True,
        env={**clean, "PYTHONPATH": str(TOP), **environment},
        check=False,
    )
    assert (done.returncode, done.stdout.count(b"97 %"), done.stderr.count(b"97 %")) == (0, 3, 1), done
    assert b"Traceback" not in done.stderr
