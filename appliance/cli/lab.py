"""`appliance lab`: real Debian hosts on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Annotated

import typer
from rich.table import Table

from appliance import output
from appliance.errors import EX_USAGE, OperatorError
from appliance.lab import lab as labs
from appliance.lab.drivers import DEFAULT_DRIVER
from appliance.program import program

app = typer.Typer(no_args_is_help=True, help="Hosts on this machine to try everything on.")

LabName = Annotated[str, typer.Option("--lab", help="Name of the lab; labs know nothing of each other.")]
DRIVER_HELP = f"nspawn (containers) or vm (QEMU); when left out, what the lab has, else {DEFAULT_DRIVER}."

AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON; progress goes to stderr.")]


def _say(line: str) -> None:
    # progress never mixes with what a script reads from stdout
    print(line, file=sys.stderr, flush=True)


def _show(lab: labs.Lab | None, name: str, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"lab": name, "hosts": []} if lab is None else lab.as_data(), indent=2))
        return
    if lab is None:
        print(f"lab {name} is down")
        return
    table = Table(title=f"lab {lab.name} (driver {lab.driver})", title_justify="left")
    for column in ("host", "address", "state", "shell"):
        table.add_column(column)
    option = "" if lab.name == labs.DEFAULT_LAB else f" --lab {lab.name}"
    for host in lab.hosts:
        place = host.address if host.port == 22 else f"{host.address} port {host.port}"
        table.add_row(
            host.name, place, "up" if host.running else "down", f"{program()} lab ssh{option} {host.name}"
        )
    out = output.console()
    out.print(table)
    out.print(f"inventory: {lab.inventory}", soft_wrap=True)


def _groups(values: list[str]) -> dict[str, list[str]] | None:
    """Read `--group origins=a,b` options."""
    groups: dict[str, list[str]] = {}
    for value in values:
        group, sign, members = value.partition("=")
        if not sign or not members:
            raise OperatorError(
                f"--group {value!r} is not allowed: write GROUP=HOST[,HOST…], for example origins=a,b",
                exit_code=EX_USAGE,
            )
        groups.setdefault(group, []).extend(members.split(","))
    return groups or None


@app.command()
def up(
    names: Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", help="Hosts to have.")] = None,
    lab: LabName = labs.DEFAULT_LAB,
    driver: Annotated[str | None, typer.Option(help=DRIVER_HELP)] = None,
    group: Annotated[
        list[str] | None,
        typer.Option(
            help="Inventory group and its hosts, GROUP=HOST[,HOST…]; repeatable. Without it the first host "
            "is the origin, which keeps the state and builds, and the others are in no group."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make sure that hosts run and answer on SSH; running ones are reused."""
    made = labs.up(names or labs.DEFAULT_HOSTS, lab=lab, driver=driver, groups=_groups(group or []), say=_say)
    _show(made, lab, as_json)


@app.command()
def down(
    lab: LabName = labs.DEFAULT_LAB,
    every: Annotated[bool, typer.Option("--all", help="Every lab of this checkout.")] = False,
    as_json: AsJson = False,
) -> None:
    """Stop and remove the hosts, their network and their files."""
    for name in labs.names() if every else [lab]:
        removed = labs.down(name, say=_say)
        if as_json:
            print(json.dumps({"lab": name, "removed": removed}))
        else:
            print(f"lab {name} is down" if removed else f"lab {name} was not up")


@app.command()
def status(lab: LabName = labs.DEFAULT_LAB, as_json: AsJson = False) -> None:
    """Show the hosts and how to reach them; exit code 3 when one of them, or the lab, is down."""
    found = labs.status(lab)
    _show(found, lab, as_json)
    if found is None or not all(host.running for host in found.hosts):
        raise typer.Exit(3)


@app.command(context_settings={"ignore_unknown_options": True, "allow_interspersed_args": False})
def ssh(
    name: Annotated[str, typer.Argument(help="The host.")],
    command: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND]...", help="A shell without it.")
    ] = None,
    lab: LabName = labs.DEFAULT_LAB,
    as_json: AsJson = False,
) -> None:
    """Run a command on a host, or open a shell. Options come before the host's name."""
    found = labs.status(lab)
    if found is None:
        option = "" if lab == labs.DEFAULT_LAB else f" --lab {lab}"
        raise OperatorError(f"lab {lab} is down", hint=f"{program()} lab up{option}")
    # A command that draws for a terminal has to have one there, too.
    terminal = ["-t"] if command and not as_json and sys.stdin.isatty() and sys.stdout.isatty() else []
    ssh_command, *rest = found.host(name).ssh
    argv = [ssh_command, *terminal, *rest, *(command or [])]
    if as_json:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        print(
            json.dumps(
                {"host": name, "exit_code": done.returncode, "stdout": done.stdout, "stderr": done.stderr}
            )
        )
        raise typer.Exit(done.returncode)
    # replaced, not run: the shell's terminal, signals and exit status are then ssh's own
    os.execvp(argv[0], argv)  # noqa: S606 - an argument list, no shell
