"""`appliance keys`: which keys are in use, new ones, and forgetting old ones. No key is ever shown."""

from __future__ import annotations

import json
import os
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from appliance.cli.host import host_settings
from appliance.cli.key_tables import LiveKeys, describe, print_tables
from appliance.cli.state_client import with_state
from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, EX_USAGE, OperatorError
from appliance.media.package.needed_keys import longest_need, named_by_stream
from appliance.media.stream_client import STREAMS_DIRECTORY, NoStreamError, StreamClient, StreamSilentError
from appliance.ops.master_key import MasterKey
from appliance.secrets.credentials import CONTENT_KEYRING, CREDENTIALS_DIRECTORY, MASTER_KEY
from appliance.secrets.keyring import Keyring
from appliance.settings import SETTINGS_FILE, Settings
from appliance.state.event_kinds import key_rotated
from appliance.state.events import Events
from appliance.state.valkey import State

app = typer.Typer(no_args_is_help=True, help="The keys of what is streamed: content keys and master keys.")

SettingsOption = Annotated[Path, typer.Option(help="Settings file.")]
# Not looked at by typer: who may read what is told below, and new content keys need no secret.
DirectoryOption = Annotated[Path, typer.Option(readable=False, help="Where the secrets live.")]
StreamsOption = Annotated[
    Path, typer.Option(readable=False, help="Where the running streams have their sockets.")
]


@app.callback()
def _group() -> None:
    """The keys of what is streamed: content keys and master keys."""


@app.command("list")
def list_command(
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    streams: StreamsOption = STREAMS_DIRECTORY,
    as_json: Annotated[bool, typer.Option("--json", help="Print {generations, content_keys}.")] = False,
) -> None:
    """List the generations of master keys and the content key of each live stream.

    A generation is in use by the streams whose content key comes from it, and needed by those of which
    something can still be played that does.
    """
    known = host_settings("keys list", settings)
    keyring = _keyring(directory)
    live = LiveKeys.ask(StreamClient(streams))
    found = describe(keyring, live, named_by_stream(Path(known.media_root)))
    if as_json:
        typer.echo(json.dumps(found))
    else:
        print_tables(found)
    if live.silent:
        raise OperatorError(
            "; ".join(live.silent.values()),
            exit_code=EX_UNAVAILABLE,
            hint=f"see why: journalctl -u 'stream@{next(iter(live.silent))}'",
        )


@app.command("rotate")
def rotate_command(
    *,
    names: Annotated[
        list[str] | None, typer.Argument(metavar="STREAM", help="Live streams; all when none is named.")
    ] = None,
    master: Annotated[
        bool, typer.Option("--master", help="Make a new generation of the master key.")
    ] = False,
    finish: Annotated[
        bool, typer.Option("--finish", help="With --master: only finish a rotation that was cut short.")
    ] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    streams: StreamsOption = STREAMS_DIRECTORY,
) -> None:
    """Change keys without an interruption: content keys, or with --master what they come from.

    A stream has its new content key from the next segment on. Old ones are answered for as long as something
    that can be played needs them.
    """
    client = StreamClient(streams)
    if master and not names:
        rotate_master_key(client, settings, directory, finish=finish)
        return
    if master or finish:
        raise OperatorError(
            "--master changes the key of all streams, and --finish belongs to it; allowed are `keys rotate "
            "[STREAM]...` and `keys rotate --master [--finish]`",
            exit_code=EX_USAGE,
        )
    rotate_content_keys(client, names)


@app.command("purge")
def purge_command(
    *,
    generations: Annotated[
        list[int] | None,
        typer.Argument(metavar="GENERATION", help="Those alone; all when none is named."),
    ] = None,
    check: Annotated[bool, typer.Option("--check", help="Say what would go, change nothing.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    settings: SettingsOption = SETTINGS_FILE,
    directory: DirectoryOption = CREDENTIALS_DIRECTORY,
    streams: StreamsOption = STREAMS_DIRECTORY,
) -> None:
    """Forget the generations of master keys that nothing playable needs any more. It cannot be undone."""
    known = host_settings("keys purge", settings)
    if not (check or yes or sys.stdin.isatty()):
        raise OperatorError(
            "nobody can be asked here, and it cannot be undone",
            exit_code=EX_USAGE,
            hint="say which: appliance keys purge --check (to see what would go), or --yes",
        )

    def agree(going: list[int]) -> bool:
        if yes and not check:
            return True
        return not check and typer.confirm(f"Forget generation {', '.join(map(str, going))}?", abort=True)

    key = MasterKey(_path(directory), StreamClient(streams), say=lambda _: None)
    going, kept = key.purge(
        named_by_stream(Path(known.media_root)), longest_need(known), only=generations or (), agree=agree
    )
    for item in kept:
        typer.echo(f"kept: generation {item.number} {item.reason}")
    for number in going:
        typer.echo(f"{'would go' if check else 'forgotten'}: generation {number}")


def rotate_master_key(client: StreamClient, settings: Path, directory: Path, *, finish: bool = False) -> None:
    """A new generation of the master key everywhere on this host; with `finish` one that was cut short.

    The backend hears of it, where there is one. Raises OperatorError.
    """
    path = _path(directory)
    before = Keyring.load(path).current
    key = MasterKey(path, client, say=typer.echo)
    try:
        if finish:
            key.finish()
        else:
            key.rotate()
    finally:
        # A stream that did not take it makes it no less the current one.
        current = Keyring.load(path).current
        known = Settings.load(settings) if settings.exists() else Settings()
        if current != before and known.http_callback_url:
            _tell_master_rotated(known, directory, current)


def _tell_master_rotated(known: Settings, directory: Path, generation: int) -> None:
    host = known.node or socket.gethostname()

    async def tell(state: State) -> None:
        event = key_rotated(MASTER_KEY, host=host, generation=generation)
        await Events(state).add(event)

    try:
        with_state(known, directory, tell)
    except OperatorError as error:
        # Keys change without Valkey, too.
        typer.echo(f"the backend is not told: {error.message}", err=True)


def rotate_content_keys(client: StreamClient, names: list[str] | None) -> None:
    """New content keys for the live streams `names`, None for all. Raises OperatorError."""
    running = client.running()
    unknown = sorted(set(names or ()) - set(running))
    if unknown:
        raise OperatorError(
            f"not live on this host: {', '.join(unknown)}; live: {', '.join(running) or 'none'}",
            exit_code=EX_UNAVAILABLE,
            hint="see what is live: appliance streams list",
        )
    failed = []
    for stream in [name for name in running if not names or name in names]:
        try:
            key = client.rotate(stream)
        except (NoStreamError, StreamSilentError) as error:
            if names or isinstance(error, StreamSilentError):  # else it has just ended
                failed.append(str(error))
        except PermissionError:
            raise _not_root() from None
        else:
            text = (
                "is not encrypted" if key.generation is None else "a new content key from the next segment on"
            )
            typer.echo(f"{stream}: {text}")
    if failed:
        raise OperatorError(
            "; ".join(failed), exit_code=EX_UNAVAILABLE, hint="the others have new keys; try again"
        )


def _path(directory: Path) -> Path:
    path = directory / CONTENT_KEYRING
    if not os.access(directory, os.W_OK | os.X_OK) and directory.exists():
        raise _not_root()
    return path


def _keyring(directory: Path) -> Keyring:
    if directory.exists() and not os.access(directory, os.X_OK):
        raise _not_root()
    return Keyring.load(directory / CONTENT_KEYRING)


def _not_root() -> OperatorError:
    return OperatorError(
        f"user id {os.geteuid()} may not touch the keys of this host",
        exit_code=EX_NOPERM,
        hint="run it as root",
    )
