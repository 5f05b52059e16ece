"""`appliance viewers`: who watches, and ending a session, as the API has it."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer
from rich.table import Table
from typer.core import TyperGroup

from appliance.cli.api_client import ApiClient
from appliance.output import console, short_time
from appliance.printable import visible


class _ListsByItself(TyperGroup):
    """`appliance viewers`, with or without a stream, is `appliance viewers list`."""

    # typer brings a click of its own, or uses the one that is installed: the context is of either's type
    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if not args or (args[0] not in self.commands and args[0] not in ctx.help_option_names):
            args = ["list", *args]
        return super().parse_args(ctx, args)


app = typer.Typer(cls=_ListsByItself, help="Who watches.")


@app.callback()
def _area() -> None:
    """Who watches: the sessions of the last 30 s, on all hosts."""


@app.command("list")
def list_command(
    stream: Annotated[str | None, typer.Argument(help="Its name; else all that are live.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print {stream: [viewer, …]}.")] = False,
) -> None:
    """List who watches a stream, or all live ones."""
    client = ApiClient()
    names = client.live_streams() if stream is None else [stream]
    found = {name: _all(client, name) for name in names}
    if as_json:
        typer.echo(json.dumps(found))
        return
    out = console()
    when = short_time if out.is_terminal else str
    table = Table()
    for heading in ("stream", "session", "viewer", "from", "policy", "since", "ends", "player"):
        table.add_column(heading, overflow="fold")
    for name, viewers in found.items():
        for item in viewers:
            who = item["viewer"] or "-"
            row = (
                name,
                item["id"],
                who if item["session"] is None else f"{who}, {item['session']}",
                item["client_ip"],
                item["policy"],
                when(item["since"]),
                when(item["ends_at"] or "-"),
                item["user_agent"] or "-",
            )
            # Strangers chose some of it, and it must not move the cursor.
            table.add_row(*map(visible, row))
    out.print(table)


@app.command("drop")
def drop_command(
    stream: Annotated[str, typer.Argument(help="The stream's name.")],
    session: Annotated[str, typer.Argument(help="The session, as `list` shows it.")],
) -> None:
    """End a session: its token is refused until it ends; for an hour, where there is none of this host."""
    ApiClient().ask("DELETE", "streams", stream, "viewers", session)
    typer.echo(f"dropped: {session} of {stream}; what delivery remembers plays on for some seconds")


def _all(client: ApiClient, stream: str) -> list[dict[str, Any]]:
    items, after = list[dict[str, Any]](), ""
    while True:
        page = client.ask("GET", "streams", stream, "viewers", after=after, limit="1000")
        items += page["items"]
        if (after := page["next"] or "") == "":
            return items
