"""`appliance logs`: what all parts of a host said about one stream, in one list."""

from __future__ import annotations

from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer

from appliance.cli.host import require_host
from appliance.cli.stream_name import checked_stream_name
from appliance.errors import EX_USAGE, OperatorError
from appliance.ops.stream_log import stream_log

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.ops.stream_log import Line

app = typer.Typer(help="What the host's units say of one stream.", subcommand_metavar="")


@app.callback(invoke_without_command=True)
def logs(
    *,
    stream: Annotated[str, typer.Option(help="Name of the stream.")],
    since: Annotated[str, typer.Option(help="From when on, as journalctl takes it: -2h, today.")] = "-1h",
    lines: Annotated[
        int | None, typer.Option("--lines", "-n", min=1, help="The newest of them; else all.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each line as JSON.")] = False,
) -> None:
    """Show what ingest, control service, delivery and the stream's process said about a stream.

    `on_air` joins them: a publish (publication) and the stream's life (epoch), which is in every address of a
    segment. For root, and members of systemd-journal.
    """
    name = checked_stream_name(stream)
    if follow and lines is not None:
        raise OperatorError("--follow goes without --lines: it shows all since --since", exit_code=EX_USAGE)
    said: Iterable[Line] = stream_log(name, since=since, follow=follow)
    found = False
    for line in said if lines is None else deque(said, maxlen=lines):
        found = True
        if as_json:
            typer.echo(line.dumps())
            continue
        at = datetime.fromtimestamp(line.at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        part = line.unit.removesuffix(".service").removeprefix("appliance-")
        typer.echo(f"{at}  {part:<10}  {line.told}")
    if not found:
        require_host("logs")
        typer.echo(f"nothing is said of {name} since {since}", err=True)
