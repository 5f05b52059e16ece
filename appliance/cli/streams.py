"""`appliance streams`: what is live, as the control service tells it; one stream, as its process tells it."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.table import Table

from appliance.cli import stream_registry
from appliance.cli.host import host_settings
from appliance.cli.stream_name import checked_stream_name
from appliance.cli.stream_status import StreamView, short_encoder, short_state, unit_state
from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, OperatorError
from appliance.media.capacity.store import Capacity, CapacityFile
from appliance.media.status_reading import read_status, streams_on_disk
from appliance.names import is_stream_name, stream_unit
from appliance.output import console, short_time
from appliance.settings import SETTINGS_FILE

IPV4_COLUMNS = len("255.255.255.255")
STATE_COLUMNS = 90
"""Width of a terminal that has room for the state too, beside an address and a name of 14 letters."""
ENCODER_COLUMNS = 98
"""The same for the encoder, too."""

app = typer.Typer(no_args_is_help=True, help="What is live on this host, and who may publish.")
app.command("registered")(stream_registry.registered)
app.command("register")(stream_registry.register)
app.command("remove")(stream_registry.remove)
app.command("drop")(stream_registry.drop)
app.add_typer(stream_registry.keys, name="keys")


@app.callback()
def _group() -> None:
    """What is live on this host, and who may publish."""


@app.command("list")
def list_command(
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """List the live streams, who encodes each, and how often it was published and played.

    The encoder is x264 or a GPU, and the share of it that the stream takes, where that was measured.
    """
    known = host_settings("streams list", settings)
    url = known.control_url
    active, stats = _get(f"{url}/streams/active"), _get(f"{url}/streams/stats")
    streams, counts = active["active_streams"], stats["stream_stats"]
    names = sorted(streams.keys() | counts.keys())
    capacity = CapacityFile(Path(known.capacity_file)).now()
    runs = {name: _run(Path(known.media_root), name, capacity) for name in names}
    if as_json:
        here = {name: {"state": state, "encoder": encoder} for name, (state, encoder) in runs.items()}
        typer.echo(json.dumps({**active, **stats, "on_this_host": here}))
        return
    out = console()
    when = short_time if out.is_terminal else str
    gap = "\n" if out.is_terminal else " "
    # an IPv4 address stays on its line, an IPv6 address may fold
    long_address = any(len(stream.get("client_ip", "")) > IPV4_COLUMNS for stream in streams.values())
    table = Table()
    table.add_column("stream", overflow="fold")
    if with_state := out.width >= STATE_COLUMNS:
        table.add_column("state")
    if with_encoder := out.width >= ENCODER_COLUMNS:
        table.add_column("encoder")
    for heading in ("live since", "from", "publishes", "plays", "last publish"):
        folds = heading == "from" and long_address
        table.add_column(heading.replace(" ", gap), overflow="fold", no_wrap=not folds)
    for name in names:
        stream, count = streams.get(name, {}), counts.get(name, {})
        state, encoder = (
            (cell or "-").replace(", ", "\n" if out.is_terminal else ", ") for cell in runs[name]
        )
        table.add_row(
            name,
            *([state] if with_state else []),
            *([encoder] if with_encoder else []),
            when(stream.get("started_at") or "-"),
            stream.get("client_ip", "-"),
            str(count.get("total_publishes", 0)),
            str(count.get("total_plays", 0)),
            when(count.get("last_publish") or "-"),
        )
    out.print(table)


@app.command("show")
def show_command(
    stream: Annotated[str, typer.Argument(help="The stream's name, as it stands in its URL.")],
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print the stream's status file, and what follows from it.")
    ] = False,
) -> None:
    """Show how a stream of this host does: source, encoder, rungs, what is published, and what ails it.

    The stream's own process says so; the control service is not asked.
    """
    name = checked_stream_name(stream)
    known = host_settings(f"streams show {name}", settings)
    root = Path(known.media_root)
    try:
        there = streams_on_disk(root)
    except PermissionError:
        raise OperatorError(
            f"{root}: what the streams write is for root and their own group",
            exit_code=EX_NOPERM,
            hint=f"run: sudo appliance streams show {name}",
        ) from None
    if name not in there:
        raise OperatorError(
            f"{name}: there is no such stream on this host; there are: {', '.join(there) or 'none'}",
            exit_code=EX_UNAVAILABLE,
            hint="see what is live: appliance streams list",
        )
    status = read_status(root / name)
    if status is None:
        raise OperatorError(
            f"{name}: {root / name} holds no status that can be read",
            exit_code=EX_UNAVAILABLE,
            hint=f"see why: systemctl status {stream_unit(name)}; journalctl -u {stream_unit(name)}",
        )
    view = StreamView(name, status, unit_state(name), known, time.time())
    if as_json:
        typer.echo(json.dumps(view.describe()))
    else:
        view.print()


def _run(root: Path, name: str, capacity: Capacity | None) -> tuple[str | None, str | None]:
    """What the stream's process says, where it runs on this host and we may read it: state and encoder."""
    status, now = read_status(root / name) if is_stream_name(name) else None, time.time()
    if status is None:
        return None, None
    return short_state(status, now), short_encoder(status, capacity, now)


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
