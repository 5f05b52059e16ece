"""`appliance load`: what this host carries, measured and kept as the checklist's proof."""

from __future__ import annotations

import asyncio
import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.host import host_settings
from appliance.errors import EX_NOPERM, EX_OSERR, EX_UNAVAILABLE, OperatorError
from appliance.ops.doctor.host import Host
from appliance.ops.doctor.load import measure
from appliance.ops.doctor.summary import summary
from appliance.settings import SETTINGS_FILE

app = typer.Typer(help="What this host carries, measured and kept for the checklist.", subcommand_metavar="")


@app.callback(invoke_without_command=True)
def load_command(
    *,
    minutes: Annotated[float, typer.Option(min=0.1, max=1440, help="How long to look.")] = 10,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
) -> None:
    """Measure what is live now, as root; publish and watch first as much as on the busiest day.

    Exit status 0: carried without trouble, and kept. 1: kept, with what ailed the streams.
    """
    host = Host(settings=host_settings("load", settings), settings_file=settings)
    if os.geteuid() != 0:
        raise OperatorError(
            f"user id {os.geteuid()} may not keep what was measured in {host.load_file}",
            exit_code=EX_NOPERM,
            hint="run it as root: sudo appliance load",
        )

    async def look() -> int:
        live = int((await summary(host))["streams_live"])
        if not live:
            raise OperatorError(
                "nothing is live, so nothing can be measured",
                exit_code=EX_UNAVAILABLE,
                hint="publish as many streams as on the busiest day, then run it again",
            )
        typer.echo(f"{_counted(live, 'stream')} live; looking for {minutes:g} min", err=True)
        found = await measure(host, 60 * minutes)
        try:
            found.write(host.load_file)
        except OSError as error:
            raise OperatorError(f"{host.load_file}: {error.strerror}", exit_code=EX_OSERR) from None
        if as_json:
            typer.echo(json.dumps(asdict(found)))
        else:
            typer.echo(
                f"{_counted(found.streams, 'stream')}, at most {_counted(found.connections, 'connection')}, "
                f"{found.seconds:.0f} s: " + ("; ".join(found.troubles) or "no trouble")
            )
        return int(bool(found.troubles))

    raise typer.Exit(asyncio.run(look()))


def _counted(count: int, what: str) -> str:
    """`1 stream`, `2 streams`."""
    return f"{count} {what}{'' if count == 1 else 's'}"
