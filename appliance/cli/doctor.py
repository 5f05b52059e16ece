"""`appliance doctor`: what is wrong with this host, and what mends it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Annotated, Final

import typer

from appliance.cli.host import host_settings
from appliance.cli.stream_name import checked_stream_name
from appliance.errors import EX_DATAERR, EX_NOPERM, EX_OSERR, EX_USAGE, OperatorError
from appliance.ops.doctor.bundle import write_bundle
from appliance.ops.doctor.report import examine, this_host
from appliance.ops.doctor.stream_path import follow
from appliance.ops.doctor.summary import summary
from appliance.ops.doctor.table import NAMES
from appliance.settings import SETTINGS_FILE

_ALONE: Final = {
    "--stream": ("--only", "--bundle", "--summary", "--checklist", "--name"),
    "--summary": ("--only", "--bundle", "--checklist", "--name"),
    "--only": ("--checklist",),
}
"""Options that ask for something else than a report, or for another, and those that would be lost on it."""

app = typer.Typer(help="What is wrong with this host, and what mends it.", subcommand_metavar="")


@app.callback(invoke_without_command=True)
def doctor_command(
    *,
    stream: Annotated[
        str | None, typer.Option(help="Follow this stream from its encoder to its playlist.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="Write a support archive (tar.gz) without secrets too."),
    ] = None,
    only: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Make this check alone; may be given again.")
    ] = None,
    figures: Annotated[
        bool, typer.Option("--summary", help="A few figures alone, and what is down; nothing is looked for.")
    ] = False,
    checklist: Annotated[
        bool, typer.Option(help="Make the checks for a host that is opened to the public too.")
    ] = False,
    names: Annotated[
        list[str] | None,
        typer.Option("--name", help="A name that others have for this host; may be given again."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one object.")] = False,
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
) -> None:
    """Look at this host, as root: findings with their causes first, each with what mends it.

    Exit status 0: nothing found. 1: warnings. 2: something critical, publishers or viewers are kept out.
    """
    if settings == SETTINGS_FILE and not settings.parent.exists():
        host_settings("doctor", settings)
    if os.geteuid() != 0:
        raise OperatorError(
            f"user id {os.geteuid()} cannot see all that ails this host",
            exit_code=EX_NOPERM,
            hint="run it as root: sudo appliance doctor",
        )
    _refuse_lost(
        {
            "--stream": stream is not None,
            "--only": bool(only),
            "--bundle": bundle is not None,
            "--summary": figures,
            "--checklist": checklist,
            "--name": bool(names),
        }
    )
    unknown = sorted(set(only or ()) - set(NAMES))
    if unknown:
        raise OperatorError(
            f"--only {', '.join(unknown)}: no such check; there are {', '.join(NAMES)}", exit_code=EX_USAGE
        )
    host = this_host(settings, names or ())
    if figures:
        try:
            found = asyncio.run(summary(host))
        except OSError as error:
            raise OperatorError(
                f"no figures: {error}", exit_code=EX_OSERR, hint="see what is wrong: appliance doctor"
            ) from None
        if as_json:
            typer.echo(json.dumps(found))
        else:
            for name, value in found.items():
                typer.echo(f"{name:<13} {', '.join(value) if isinstance(value, list) else value}")
        raise typer.Exit
    if stream is not None:
        name = checked_stream_name(stream, exit_code=EX_DATAERR)
        way = asyncio.run(follow(host, name))
        if as_json:
            typer.echo(json.dumps(way.described()))
        else:
            way.print()
        raise typer.Exit(way.exit_code)

    async def look() -> int:
        report = await examine(host, only or (), checklist=checklist)
        if as_json:
            typer.echo(json.dumps(report.described()))
        else:
            report.print()
        if bundle is not None:
            size = await write_bundle(host, report, bundle)
            typer.echo(f"{bundle}: {size / 1024:.0f} KiB; look through it before you give it away", err=True)
        return report.exit_code

    raise typer.Exit(asyncio.run(look()))


def _refuse_lost(given: dict[str, bool]) -> None:
    """Raises OperatorError when one of the options that are given would be lost on another."""
    for option, others in _ALONE.items():
        lost = [other for other in others if given[option] and given[other]]
        if lost:
            raise OperatorError(f"{option} goes without {', '.join(lost)}", exit_code=EX_USAGE)
