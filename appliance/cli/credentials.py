"""`appliance credentials`: the secrets a host keeps, made where they are used and never shown."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, TypeVar

import typer
from rich.console import Console

from appliance.cli.host import require_host
from appliance.cli.state_client import with_state
from appliance.errors import EX_DATAERR, OperatorError
from appliance.ops.fleet_secrets import FleetSecrets
from appliance.secrets.credentials import CONTENT_KEYRING, CREDENTIALS_DIRECTORY
from appliance.secrets.keyring import Keyring, parse_master
from appliance.secrets.making import DEFAULT_GRACE, make_missing
from appliance.secrets.rotating import Rotating
from appliance.secrets.webhook_secret import parse_webhook_secret
from appliance.settings import LONGEST_GRACE_SECONDS, SETTINGS_FILE, Settings

T = TypeVar("T")

app = typer.Typer(no_args_is_help=True, help="The secrets a host keeps below /etc/appliance/credentials.")


@app.callback()
def _group() -> None:
    """The secrets a host keeps below /etc/appliance/credentials."""


@app.command("init")
def init_command(
    *,
    directory: Annotated[Path, typer.Option(help="Where the secrets live.")] = CREDENTIALS_DIRECTORY,
    master_stdin: Annotated[
        bool,
        typer.Option(
            "--hls-encryption-key-stdin",
            help="Read HLS_ENCRYPTION_KEY (32 or 64 hex digits; empty: none) from standard input.",
        ),
    ] = False,
    webhook_stdin: Annotated[
        bool,
        typer.Option(
            "--webhook-secret-stdin",
            help="Read WEBHOOK_SECRET (empty: none) from standard input; with the other, its second line.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Say what is missing, make nothing.")
    ] = False,
    webhook_grace_seconds: Annotated[
        float,
        typer.Option(
            min=0, max=LONGEST_GRACE_SECONDS, help="How long the webhook secret before a given one is good."
        ),
    ] = DEFAULT_GRACE.total_seconds(),
    settings: Annotated[Path, typer.Option(help="Settings file: where Valkey is.")] = SETTINGS_FILE,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print {changed, made, kept, mended, unfinished}.")
    ] = False,
) -> None:
    """Make the secrets that are missing; those that exist stay as they are, closed to other users.

    A given HLS_ENCRYPTION_KEY that differs from the one given before becomes the next master key, in a
    generation of its own, so that segments under the old ones stay playable: `appliance keys rotate --master
    --finish` makes it the current one everywhere. `unfinished` in the JSON says that this is to be done.

    A given WEBHOOK_SECRET becomes the one that requests to the backend are signed with; the one before signs
    beside it for --webhook-grace-seconds, so that the backend can change in its own time. Without one the
    host draws one, which `appliance secrets rotate webhook-secret` may replace.

    What rotates and is missing is the fleet's, or this host's own from before it lost its files: Valkey is
    asked for it first. Into a --directory of its own, on a machine that has no --settings, all is drawn. They
    are read for that alone: what an upgrade leaves of them may be none that this version allows.

    Raises OperatorError when the directory is a host's and this machine is none.
    """
    if directory == CREDENTIALS_DIRECTORY:
        require_host("credentials init", settings)
    # One line for each that was asked for, in this order; a missing line is an empty one.
    lines = [*sys.stdin.read().split("\n"), ""] if master_stdin or webhook_stdin else []
    master = _read_master(lines.pop(0)) if master_stdin else None
    webhook_secret = _read_webhook_secret(lines.pop(0)) if webhook_stdin else None
    outcome = make_missing(
        directory,
        master,
        webhook_secret=webhook_secret,
        webhook_grace=timedelta(seconds=webhook_grace_seconds),
        fleet=_Fleet(settings, directory) if settings.exists() else None,
        check=check,
    )
    if as_json:
        unfinished = not check and Keyring.load(directory / CONTENT_KEYRING).next is not None
        typer.echo(
            json.dumps(
                {
                    "changed": bool(outcome.made or outcome.mended),
                    **outcome._asdict(),
                    "unfinished": unfinished,
                }
            )
        )
        return
    console = Console(highlight=False)
    for name in outcome.made:
        console.print(f"{'missing' if check else 'made'}: {directory / name}", soft_wrap=True)
    for name in outcome.kept:
        console.print(f"kept: {directory / name}", soft_wrap=True)
    for path in outcome.mended:
        console.print(
            f"{'open to others' if check else 'closed to others'}: {path} (remove a secret that somebody may "
            "have read, and run this again)",
            soft_wrap=True,
        )


@dataclass(frozen=True, slots=True)
class _Fleet:
    """What the Valkey of this host holds, each time asked anew."""

    settings: Path
    directory: Path

    def known(self, name: str, present: Rotating | None) -> Rotating | None:
        return self._ask(lambda shared: shared.known(name, present))

    def agreed(self, name: str) -> Rotating:
        return self._ask(lambda shared: shared.agreed(name))

    def _ask(self, question: Callable[[FleetSecrets], Awaitable[T]]) -> T:
        known = Settings.load(self.settings)
        host = known.node or socket.gethostname()
        return with_state(
            known, self.directory, lambda state: question(FleetSecrets(self.directory, host, state))
        )


def _read_master(text: str) -> bytes | None:
    given = text.strip()
    if not given:
        return None
    try:
        return parse_master(given)
    except ValueError as error:
        raise OperatorError(
            f"HLS_ENCRYPTION_KEY: {error}", exit_code=EX_DATAERR, hint="make one: openssl rand -hex 32"
        ) from None


def _read_webhook_secret(text: str) -> str:
    """The secret that was given, empty when the operator chooses none."""
    given = text.strip()
    if not given:
        return ""
    try:
        return parse_webhook_secret(given).text
    except ValueError as error:
        raise OperatorError(
            f"WEBHOOK_SECRET: {error}", exit_code=EX_DATAERR, hint="make one: openssl rand -hex 32"
        ) from None
