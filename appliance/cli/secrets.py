"""`appliance secrets`: how old the secrets of a host are, and new ones. No secret is ever shown."""

from __future__ import annotations

import json
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.table import Table

from appliance.cli.host import host_settings, require_host
from appliance.cli.key_tables import LiveKeys
from appliance.cli.keys import rotate_content_keys, rotate_master_key
from appliance.cli.state_client import require_root, with_state
from appliance.errors import EX_UNAVAILABLE, EX_USAGE, OperatorError
from appliance.media.stream_client import STREAMS_DIRECTORY, StreamClient
from appliance.ops.rotation import Rotation
from appliance.ops.secret_status import (
    CONTENT_KEYS,
    INTERNAL,
    SecretStatus,
    secret_status,
)
from appliance.ops.timers import ask_timer
from appliance.ops.valkey_password import ACL_FILE
from appliance.output import console, short_time, span
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY, MASTER_KEY
from appliance.secrets.rotating import ROTATING
from appliance.settings import LONGEST_GRACE_SECONDS, SETTINGS_FILE
from appliance.state.valkey import State

app = typer.Typer(no_args_is_help=True, help="The secrets of a host: how old they are, and new ones.")

SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]
# Not looked at by typer: who may read what is told below.
DirectoryOption = Annotated[Path, typer.Option(readable=False, help="Where the secrets live.")]
StreamsOption = Annotated[
    Path, typer.Option(readable=False, help="Where the running streams have their sockets.")
]

GROUPS: Final = {"internal": INTERNAL}
"""Several at once, as their timer has them."""


@app.callback()
def _group() -> None:
    """The secrets of a host: how old they are, and new ones. For root."""


@app.command("status")
def status_command(
    *,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    streams: StreamsOption = STREAMS_DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print a list of them.")] = False,
) -> None:
    """Show how old each secret is, when it is replaced, and until when replaced ones are good.

    Exit status 69 when a rotation is overdue: its time has come and the secret is still the old one.
    """
    if directory == CREDENTIALS_DIRECTORY:
        require_host("secrets status")
    require_root(directory)
    rows = secret_status(directory, ask_timer, LiveKeys.ask(StreamClient(streams)).keys)
    if as_json:
        typer.echo(json.dumps([row.described() for row in rows]))
    else:
        _print(rows)
    late = [row.name for row in rows if row.overdue]
    if late:
        raise OperatorError(
            f"overdue: {', '.join(late)}",
            exit_code=EX_UNAVAILABLE,
            hint=f"see why: systemctl status 'appliance-rotate-*'; now: appliance secrets rotate {late[0]}",
        )


@app.command("rotate")
def rotate_command(
    *,
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `secrets status` shows it, or internal.")],
    grace_seconds: Annotated[
        float | None,
        typer.Option(
            min=0,
            max=LONGEST_GRACE_SECONDS,
            help="How long the one before is good; else as the settings say. 0: it leaked.",
        ),
    ] = None,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    streams: StreamsOption = STREAMS_DIRECTORY,
    acl_file: Annotated[Path, typer.Option(readable=False, help="Valkey's file of users.")] = ACL_FILE,
) -> None:
    """Replace a secret without an interruption: the new one is known everywhere before it is used.

    On each host that is another, or what another host has made since the last time is taken over.
    """
    names = GROUPS.get(name, (name,))
    known_names = (CONTENT_KEYS, MASTER_KEY, *ROTATING, *GROUPS)
    if name not in known_names:
        raise OperatorError(
            f"{name!r} is refused; allowed are {', '.join(known_names)}",
            exit_code=EX_USAGE,
            hint="see them: appliance secrets status",
        )
    if name in {CONTENT_KEYS, MASTER_KEY} and grace_seconds is not None:
        raise OperatorError(
            f"--grace-seconds: old ones of {name} stay for as long as something playable needs them",
            exit_code=EX_USAGE,
        )
    client = StreamClient(streams)
    if name == CONTENT_KEYS:
        rotate_content_keys(client, None)
        return
    if name == MASTER_KEY:
        rotate_master_key(client, settings, directory)
        return
    known = host_settings(f"secrets rotate {name}", settings)
    grace = None if grace_seconds is None else timedelta(seconds=grace_seconds)

    async def rotate(state: State) -> None:
        host = known.node or socket.gethostname()
        rotation = Rotation(directory, known, host, state, client, acl_file, typer.echo)
        failed = []
        for each in names:
            try:
                await rotation.rotate(each, grace=grace)
            except OperatorError as error:
                failed.append(error)
        if len(failed) == 1:
            raise failed[0]
        if failed:
            said = "; ".join(error.message for error in failed)
            raise OperatorError(said, exit_code=failed[0].exit_code, hint=failed[0].hint)

    with_state(known, directory, rotate)


def _print(rows: list[SecretStatus]) -> None:
    out, now = console(), datetime.now(UTC)
    table = Table()
    for heading in ("secret", "age", "next rotation", "old ones good until", "note"):
        table.add_column(heading, overflow="fold")

    def when(time: datetime | None) -> str:
        text = "-" if time is None else time.isoformat(timespec="seconds")
        return short_time(text) if out.is_terminal else text

    for row in rows:
        age = "-" if row.created is None else span(max(0.0, (now - row.created).total_seconds()))
        due = ("OVERDUE, " if row.overdue else "") + when(row.next_rotation)
        table.add_row(row.name, age, due, when(row.old_good_until), row.note or "-")
    out.print(table)
