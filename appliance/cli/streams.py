"""`appliance streams`: what is live, as the control service tells it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.settings import SETTINGS_FILE, Settings

app = typer.Typer(no_args_is_help=True, help="What is live on this host.")


@app.callback()
def _group() -> None:
    """What is live on this host."""


@app.command("list")
def list_command(
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print the service's answer.")] = False,
) -> None:
    """List the live streams and how often each was published and played."""
    url = Settings.load(settings).control_url
    active, stats = _get(f"{url}/streams/active"), _get(f"{url}/streams/stats")
    if as_json:
        typer.echo(json.dumps({**active, **stats}))
        return
    table = Table("stream", "live since", "from", "publishes", "plays", "last publish")
    streams, counts = active["active_streams"], stats["stream_stats"]
    for name in sorted(streams.keys() | counts.keys()):
        stream, count = streams.get(name, {}), counts.get(name, {})
        table.add_row(
            name,
            stream.get("started_at", "-"),
            stream.get("client_ip", "-"),
            str(count.get("total_publishes", 0)),
            str(count.get("total_plays", 0)),
            count.get("last_publish") or "-",
        )
    Console().print(table)


def _get(url: str) -> dict[str, Any]:
    hint = "see why: systemctl status appliance-control.service; journalctl -u appliance-control"
    try:
        answer = httpx.get(url, timeout=5, trust_env=False)
    except httpx.HTTPError as error:
        raise OperatorError(
            f"control service at {url}: {error}", exit_code=EX_UNAVAILABLE, hint=hint
        ) from error
    if answer.status_code != httpx.codes.OK:
        raise OperatorError(
            f"control service at {url}: status {answer.status_code}: {answer.text[:200]}",
            exit_code=EX_UNAVAILABLE,
            hint=hint,
        )
    content: dict[str, Any] = answer.json()
    return content
