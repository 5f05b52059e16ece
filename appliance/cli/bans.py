"""`appliance bans`: who may not publish after failing too often."""

from __future__ import annotations

import ipaddress
import json
from typing import Annotated

import typer
from rich.table import Table

from appliance.cli.api_client import ApiClient
from appliance.errors import EX_USAGE, OperatorError
from appliance.names import shorten
from appliance.output import console

app = typer.Typer(no_args_is_help=True)


@app.callback()
def _area() -> None:
    """Who may not publish after failing too often."""


@app.command("list")
def list_command(
    as_json: Annotated[bool, typer.Option("--json", help="Print the API's answer.")] = False,
) -> None:
    """List who is banned, and for how much longer."""
    answer = ApiClient().ask("GET", "bans")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    table = Table()
    table.add_column("who", overflow="fold")
    table.add_column("seconds more", justify="right")
    for item in answer["items"]:
        table.add_row(item["who"], f"{item['seconds']:.0f}")
    console().print(table)


@app.command("lift")
def lift_command(
    who: Annotated[str, typer.Argument(help="An address, or a network as `list` shows it.")],
) -> None:
    """Let somebody try again."""
    try:
        ipaddress.ip_network(who, strict=False)
    except ValueError:
        raise OperatorError(
            f"{shorten(who)} is refused; allowed is an IPv4 or IPv6 address, or a network of them",
            exit_code=EX_USAGE,
            hint="see who is banned: appliance bans list",
        ) from None
    ApiClient().ask("DELETE", "bans", who)
    typer.echo(f"lifted: the ban of {who}")
