"""`appliance credentials`: the secrets a host keeps, made where they are used and never shown."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from appliance.errors import EX_DATAERR, OperatorError
from appliance.secrets.credentials import CONTENT_KEYRING, CREDENTIALS_DIRECTORY, DEFAULT_GRACE, make_missing
from appliance.secrets.keyring import Keyring, parse_master
from appliance.secrets.webhook_secret import parse_webhook_secret

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
        typer.Option(min=0, max=7_776_000, help="How long the webhook secret before a given one is good."),
    ] = DEFAULT_GRACE.total_seconds(),
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

    It reads no settings: what an upgrade leaves of them may be none that this version allows.
    """
    # One line for each that was asked for, in this order; a missing line is an empty one.
    lines = [*sys.stdin.read().split("\n"), ""] if master_stdin or webhook_stdin else []
    master = _read_master(lines.pop(0)) if master_stdin else None
    webhook_secret = _read_webhook_secret(lines.pop(0)) if webhook_stdin else None
    outcome = make_missing(
        directory,
        master,
        webhook_secret=webhook_secret,
        webhook_grace=timedelta(seconds=webhook_grace_seconds),
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
