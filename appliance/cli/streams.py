"""`appliance streams`: what is live, as the control service tells it."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from appliance.cli.output import console
from appliance.errors import EX_CONFIG, EX_UNAVAILABLE, OperatorError
from appliance.settings import SETTINGS_FILE, Settings

IPV4_COLUMNS = len("255.255.255.255")

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
    if settings == SETTINGS_FILE and not settings.exists():
        raise OperatorError(
            f"this machine is no streaming host, it has no {settings}; the list is asked for on a host",
            exit_code=EX_CONFIG,
            hint=f"run: {demo_prefix(Path(sys.prefix).parent / '.demo.json')} appliance streams list",
        )
    url = Settings.load(settings).control_url
    active, stats = _get(f"{url}/streams/active"), _get(f"{url}/streams/stats")
    if as_json:
        typer.echo(json.dumps({**active, **stats}))
        return
    streams, counts = active["active_streams"], stats["stream_stats"]
    out = console()
    when = short_time if out.is_terminal else str
    gap = "\n" if out.is_terminal else " "
    # an IPv4 address stays on its line, an IPv6 address may fold
    long_address = any(len(stream.get("client_ip", "")) > IPV4_COLUMNS for stream in streams.values())
    table = Table()
    table.add_column("stream", overflow="fold")
    for heading in ("live since", "from", "publishes", "plays", "last publish"):
        folds = heading == "from" and long_address
        table.add_column(heading.replace(" ", gap), overflow="fold", no_wrap=not folds)
    for name in sorted(streams.keys() | counts.keys()):
        stream, count = streams.get(name, {}), counts.get(name, {})
        table.add_row(
            name,
            when(stream.get("started_at") or "-"),
            stream.get("client_ip", "-"),
            str(count.get("total_publishes", 0)),
            str(count.get("total_plays", 0)),
            when(count.get("last_publish") or "-"),
        )
    out.print(table)


def short_time(text: str) -> str:
    """Return an ISO 8601 time as a terminal has room for it, in UTC; what is no time stays as it is.

    Today's is given without the date, this year's without the year.
    """
    try:
        time = datetime.fromisoformat(text).astimezone(UTC)
    except ValueError:
        return text
    now = datetime.now(UTC)
    if time.date() == now.date():
        return f"{time:%H:%M:%SZ}"
    return f"{time:%m-%d %H:%MZ}" if time.year == now.year else f"{time:%Y-%m-%d}"


def demo_prefix(facts: Path) -> str:
    """Return what runs a command on a host: the demo's SSH command when there is one."""
    try:
        return str(json.loads(facts.read_text())["ssh"])
    except (OSError, ValueError, KeyError, TypeError):
        return "ssh root@HOST"


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
