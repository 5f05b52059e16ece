"""`appliance operators`: who may use the dashboard. For root, who reads Valkey's password."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from appliance.cli.host import host_settings
from appliance.cli.state_client import with_state
from appliance.errors import EX_DATAERR, EX_USAGE, OperatorError
from appliance.names import shorten
from appliance.output import console, short_time
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY
from appliance.secrets.passwords import PasswordDigest, WeakPasswordError, check_password, draw_password
from appliance.settings import SETTINGS_FILE
from appliance.state.operators import OPERATOR_NAME_PATTERN, Operators, is_operator_name
from appliance.state.valkey import State

app = typer.Typer(no_args_is_help=True, help="Who may use the dashboard.")

_LONGEST_INPUT: Final = 4096

Name = Annotated[str, typer.Argument(help=f"Allowed: {OPERATOR_NAME_PATTERN}")]
SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]
# Not looked at by typer: who may read it is told below.
DirectoryOption = Annotated[Path, typer.Option(readable=False, help="Where the secrets live.")]


@app.callback()
def _area() -> None:
    """Who may use the dashboard, on all hosts that share this one's Valkey. For root."""


@app.command("add")
def add_command(
    *,
    name: Name,
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Take the password from standard input.")
    ] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """Make an operator, or give one another password, which ends the operator's sessions.

    Without --password-stdin a password is drawn. It is shown now and never again.
    """
    if not is_operator_name(name):
        raise OperatorError(
            f"{shorten(name)} is refused as an operator's name; allowed is {OPERATOR_NAME_PATTERN}",
            exit_code=EX_USAGE,
        )
    password = _read_password() if password_stdin else draw_password()
    try:
        check_password(password, name=name)
    except WeakPasswordError as error:
        raise OperatorError(str(error), exit_code=EX_DATAERR) from None
    kept = PasswordDigest.of(password)

    async def put(state: State) -> bool:
        return await Operators(state).put(name, kept)

    new = with_state(host_settings(f"operators add {name}", settings), directory, put)
    said = "made" if new else "has a new password, and is signed out everywhere"
    print(f"{name}: {said}", file=sys.stderr)
    if not password_stdin:
        typer.echo(password)


@app.command("list")
def list_command(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of them.")] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """List the operators; no password is shown."""

    async def read(state: State) -> list[tuple[str, str, str]]:
        return [(each.name, each.created_at, each.changed_at) for each in await Operators(state).all()]

    rows = with_state(host_settings("operators list", settings), directory, read)
    if as_json:
        names = ("name", "created_at", "changed_at")
        typer.echo(json.dumps([dict(zip(names, row, strict=True)) for row in rows]))
        return
    out = console()
    when = short_time if out.is_terminal else str
    table = Table()
    for heading in ("operator", "made", "password since"):
        table.add_column(heading, overflow="fold")
    for name, made, changed in rows:
        table.add_row(name, when(made), when(changed))
    out.print(table)


@app.command("remove")
def remove_command(
    *,
    name: Annotated[str, typer.Argument(help="As `list` shows it.")],
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """Forget an operator, who is signed out everywhere."""

    async def remove(state: State) -> bool:
        return await Operators(state).remove(name)

    if not with_state(host_settings(f"operators remove {name}", settings), directory, remove):
        raise OperatorError(
            f"there is no operator {shorten(name)}",
            exit_code=EX_DATAERR,
            hint="see them: appliance operators list",
        )
    typer.echo(f"removed: {name}")


def _read_password() -> str:
    """The first line of standard input: as it is, without its end."""
    return sys.stdin.readline(_LONGEST_INPUT).rstrip("\r\n")
