"""`appliance streams register|remove|drop|keys`: who may publish and watch, as the API has it."""

from __future__ import annotations

import json
from typing import Annotated, Any, get_args

import typer
from rich.table import Table

from appliance.cli.api_client import ApiClient
from appliance.cli.stream_name import checked_stream_name
from appliance.errors import EX_USAGE, OperatorError
from appliance.output import console, short_time
from appliance.settings import ViewPolicyName

AsJson = Annotated[bool, typer.Option("--json", help="Print the API's answer.")]


def _checked(text: str) -> str:
    """What typer calls takes the text alone."""
    return checked_stream_name(text)


Stream = Annotated[str, typer.Argument(help="The stream's name, as it stands in its URL.", callback=_checked)]

keys = typer.Typer(no_args_is_help=True, help="The keys that a registered stream is published with.")


def register(
    *,
    stream: Stream,
    allow: Annotated[
        list[str] | None, typer.Option(help="A network that may publish it, such as 192.0.2.0/24.")
    ] = None,
    deny: Annotated[list[str] | None, typer.Option(help="A network that may not.")] = None,
    limit: Annotated[
        list[str] | None,
        typer.Option(help="NAME=NUMBER of kbps, width, height, fps or seconds (on air); once for each."),
    ] = None,
    view: Annotated[
        str | None,
        typer.Option(
            help=f"Who may watch: {', '.join(get_args(ViewPolicyName))}; else as the host's view_policy says."
        ),
    ] = None,
    entitlement: Annotated[
        str | None, typer.Option(help="What a viewer must have paid for: the token has to name it.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Register a stream, or replace what was said of it; from then on it needs a key to be published."""
    limits = dict(_limit(text) for text in limit or [])
    if view not in {None, *get_args(ViewPolicyName)}:
        raise OperatorError(
            f"--view: {view!r} is refused; allowed are {', '.join(get_args(ViewPolicyName))}",
            exit_code=EX_USAGE,
        )
    body: dict[str, object] = {"allow": allow or [], "deny": deny or [], "limits": limits}
    body |= {"view": view, "entitlement": entitlement}
    answer = ApiClient().ask("PUT", "streams", stream, body=body)
    if as_json:
        typer.echo(json.dumps(answer))
    else:
        typer.echo(f"registered: {stream}; make it a key: appliance streams keys add {stream}")


def remove(stream: Stream) -> None:
    """Forget a registered stream and its keys; who publishes it is dropped."""
    ApiClient().ask("DELETE", "streams", stream)
    typer.echo(f"removed: {stream}")


def drop(stream: Stream) -> None:
    """End the connection that publishes a stream. Its encoder may come back, unless its key is revoked."""
    ApiClient().ask("DELETE", "streams", stream, "publisher")
    typer.echo(f"dropped: the publisher of {stream}")


def registered(as_json: AsJson = False) -> None:
    """List the registered streams, and who publishes them; view `as set` is the host's view_policy."""
    client, items, after = ApiClient(), list[dict[str, Any]](), ""
    while True:
        page = client.ask("GET", "streams", after=after, limit="1000")
        items += page["items"]
        if (after := page["next"] or "") == "":
            break
    if as_json:
        typer.echo(json.dumps({"items": items}))
        return
    out = console()
    when = short_time if out.is_terminal else str
    table = Table()
    for heading in ("stream", "registered", "allow", "deny", "limits", "view", "live since", "key"):
        table.add_column(heading, overflow="fold")
    for item in items:
        limits = [f"{name} {value:g}" for name, value in item["limits"].items() if value is not None]
        publisher = item["publisher"] or {}
        table.add_row(
            item["name"],
            when(item["created_at"]),
            "\n".join(item["allow"]) or "all",
            "\n".join(item["deny"]) or "-",
            "\n".join(limits) or "-",
            "\n".join(filter(None, [item["view"] or "as set", item["entitlement"]])),
            when(publisher.get("started_at") or "-"),
            publisher.get("key_id") or "-",
        )
    out.print(table)


@keys.command("list")
def list_keys(stream: Stream, as_json: AsJson = False) -> None:
    """List the keys of a stream; no key is shown."""
    answer = ApiClient().ask("GET", "streams", stream, "keys")
    if as_json:
        typer.echo(json.dumps(answer))
        return
    out = console()
    when = short_time if out.is_terminal else str
    table = Table()
    for heading in ("key", "made", "expires", "revoked", "lets in", "note"):
        table.add_column(heading, overflow="fold")
    for item in answer["items"]:
        times = [when(item[name] or "-") for name in ("created_at", "expires_at", "revoked_at")]
        table.add_row(item["id"], *times, "no" if item["over"] else "yes", item["note"] or "-")
    out.print(table)


@keys.command("add")
def add_key(
    stream: Stream,
    hours: Annotated[
        float | None, typer.Option(help="How long it lets publishers in; for ever when left out.")
    ] = None,
    note: Annotated[str, typer.Option(help="What it is for; never a secret.")] = "",
    as_json: AsJson = False,
) -> None:
    """Make a key for a stream. It is shown now and never again."""
    if hours is not None and not 0 < hours <= 24 * 3660:
        raise OperatorError(f"--hours: {hours:g} is refused; allowed is up to 87840", exit_code=EX_USAGE)
    body: dict[str, object] = {"note": note}
    if hours is not None:
        body["expires_in_seconds"] = max(1, round(hours * 3600))
    answer = ApiClient().ask("POST", "streams", stream, "keys", body=body)
    typer.echo(json.dumps(answer) if as_json else f"{stream}?key={answer['key']}")


@keys.command("revoke")
def revoke_key(
    stream: Stream,
    key: Annotated[str, typer.Argument(help="The key's id: what stands before the dot.")],
    grace_minutes: Annotated[
        int, typer.Option(min=0, help="For so long it goes on to let publishers in.")
    ] = 0,
) -> None:
    """Revoke a key; who publishes with it is dropped, at the end of the grace."""
    ApiClient().ask("DELETE", "streams", stream, "keys", key, grace_seconds=str(60 * grace_minutes))
    typer.echo(f"revoked: {key} of {stream}")


def _limit(text: str) -> tuple[str, float]:
    name, _, number = text.partition("=")
    try:
        return name, float(number)
    except ValueError:
        raise OperatorError(
            f"--limit: {text!r} is refused; allowed is NAME=NUMBER, such as kbps=6000", exit_code=EX_USAGE
        ) from None
