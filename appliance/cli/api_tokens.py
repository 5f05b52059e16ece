"""`appliance api-tokens`: bearer tokens with which the platform's own programs use the API."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.table import Table

from appliance.cli.api_client import ApiClient
from appliance.errors import EX_USAGE, OperatorError
from appliance.names import shorten
from appliance.output import console, short_time
from appliance.state.api_tokens import SCOPES

app = typer.Typer(no_args_is_help=True)
AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]


@app.callback()
def _area() -> None:
    """Bearer tokens of the API for the platform's own programs."""


@app.command("list")
def list_command(as_json: AsJson = False) -> None:
    """List the tokens; no token is shown."""
    answer = ApiClient().ask("GET", "api-tokens")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    out = console()
    when = short_time if out.is_terminal else str
    table = Table()
    for heading in ("token", "scopes", "made", "expires", "note"):
        table.add_column(heading, overflow="fold")
    for item in answer["items"]:
        made, expires = when(item["created_at"]), when(item["expires_at"] or "-")
        table.add_row(item["id"], "\n".join(item["scopes"]), made, expires, item["note"] or "-")
    out.print(table)


@app.command("create")
def create_command(
    scope: Annotated[list[str], typer.Option(help=f"What it allows: {', '.join(SCOPES)}; once for each.")],
    days: Annotated[int | None, typer.Option(min=1, max=3660, help="For ever when left out.")] = None,
    note: Annotated[str, typer.Option(help="What it is for; never a secret.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a token. It is shown now and never again."""
    if unknown := sorted(set(scope) - set(SCOPES)):
        raise OperatorError(
            f"--scope: {shorten(unknown[0])} is refused; allowed are {', '.join(SCOPES)}", exit_code=EX_USAGE
        )
    body: dict[str, object] = {"scopes": scope, "note": note}
    if days is not None:
        body["expires_in_seconds"] = days * 86_400
    answer = ApiClient().ask("POST", "api-tokens", body=body)
    typer.echo(json.dumps(answer) if as_json else answer["token"])


@app.command("delete")
def delete_command(
    token: Annotated[str, typer.Argument(help="The token's id, as `list` shows it.")],
) -> None:
    """Forget a token; it is refused from now on."""
    ApiClient().ask("DELETE", "api-tokens", token)
    typer.echo(f"deleted: {token}")
