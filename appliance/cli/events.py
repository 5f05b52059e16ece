"""`appliance events`: what the backend is told, what it would not take, and telling it again."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from appliance.cli.host import host_settings
from appliance.cli.state_client import with_state
from appliance.errors import EX_DATAERR, EX_USAGE, OperatorError
from appliance.output import console, folding_table, short_time
from appliance.printable import visible
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY
from appliance.settings import SETTINGS_FILE
from appliance.state.events import Entry, Events

app = typer.Typer(no_args_is_help=True, help="What the backend is told, and what it would not take.")

SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]
# Not looked at by typer: who may read it is told below.
DirectoryOption = Annotated[Path, typer.Option(readable=False, help="Where the secrets live.")]


@app.callback()
def _group() -> None:
    """What the backend is told, and what it would not take. For root: Valkey's password is asked for."""


@app.command("tail")
def tail_command(
    *,
    count: Annotated[int, typer.Option("--count", "-n", min=1, max=20_000, help="How many.")] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with those that come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print each event as a line of JSON.")] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """Show the newest events, the newest last.

    Their state: `delivered` (the backend took it), `dead` (given up, a dead letter), `replayed` (was one, and
    is told again further down), `attempt 3` (the third is going on or waited for), `new` (not looked at yet).
    Nothing is stored where no backend is set.
    """

    async def show(events: Events) -> None:
        rows = await events.newest(count)
        if as_json:
            for entry, state in rows:
                typer.echo(json.dumps(_described(entry) | {"state": state}))
        else:
            _print_table([(*_cells(entry), state) for entry, state in rows], "state")
        position = rows[-1][0].position if rows else "0-0"
        while follow:
            for entry in await events.after(position):
                position = entry.position
                typer.echo(
                    json.dumps(_described(entry) | {"state": "new"}) if as_json else "  ".join(_cells(entry))
                )

    _with_events(settings, directory, show)


@app.command("dead")
def dead_command(
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of them.")] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """Show the dead letters: events that the backend did not take at their last attempt, and why."""

    async def show(events: Events) -> None:
        entries = await events.dead()
        if as_json:
            found = [
                _described(entry) | {"attempts": entry.attempt, "reason": entry.reason} for entry in entries
            ]
            typer.echo(json.dumps(found))
        else:
            rows = [(*_cells(entry), str(entry.attempt), entry.reason) for entry in entries]
            _print_table(rows, "attempts", "the last one")

    _with_events(settings, directory, show)


@app.command("replay")
def replay_command(
    *,
    identities: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Of dead letters, as `events dead` shows them.")
    ] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every dead letter.")] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
) -> None:
    """Tell the backend dead letters again, behind what it is to be told already.

    An event keeps its id (webhook-id) and time, so a backend that did take it knows it again.
    """
    if everything == bool(identities):
        raise OperatorError(
            "which dead letters? Allowed is one or more of their ids, or --all",
            exit_code=EX_USAGE,
            hint="see them: appliance events dead",
        )

    async def replay(events: Events) -> None:
        entries = await events.dead()
        unknown = sorted(set(identities or ()) - {entry.event.identity for entry in entries})
        if unknown:
            raise OperatorError(
                f"no dead letters: {', '.join(unknown)}; there are {len(entries)} others",
                exit_code=EX_DATAERR,
                hint="see them: appliance events dead",
            )
        chosen = [entry for entry in entries if everything or entry.event.identity in (identities or ())]
        for entry in chosen:
            if await events.replay(entry):
                typer.echo(
                    f"{entry.event.identity}: {entry.event.type} of {entry.event.stream} is told again"
                )

    _with_events(settings, directory, replay)


def _with_events(settings: Path, directory: Path, use: Callable[[Events], Awaitable[None]]) -> None:
    """Runs `use` with the events of this host's Valkey. Raises OperatorError."""
    # Ctrl-C is the way to leave --follow.
    with contextlib.suppress(KeyboardInterrupt):
        with_state(host_settings("events", settings), directory, lambda state: use(Events(state)))


def _described(entry: Entry) -> dict[str, Any]:
    event = entry.event
    try:
        body = json.loads(event.body)
    except ValueError:  # somebody else wrote it
        body = event.body
    described = {"id": event.identity, "type": event.type, "stream": event.stream}
    return described | {"stored": _stored(entry), "body": body}


def _cells(entry: Entry) -> tuple[str, ...]:
    event = entry.event
    stored = _stored(entry)
    shown = (
        short_time(stored) if console().is_terminal else stored,
        event.stream,
        event.type,
        event.identity,
    )
    # What no terminal should get: the stream is one that anybody with Valkey's password can write to.
    return tuple(map(visible, shown))


def _stored(entry: Entry) -> str:
    """When it was stored, ISO 8601 in UTC: the first half of its position is unix milliseconds."""
    milliseconds = int(entry.position.partition("-")[0])
    return datetime.fromtimestamp(milliseconds / 1000, UTC).isoformat(timespec="milliseconds")


def _print_table(rows: list[tuple[str, ...]], *more: str) -> None:
    table = folding_table("stored", "stream", "type", "id", *more)
    for row in rows:
        table.add_row(*row)
    console().print(table)
