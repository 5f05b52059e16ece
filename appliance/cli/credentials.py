"""`appliance credentials`: the secrets a host keeps, made where they are used and never shown."""

from __future__ import annotations

import json
import os
import re
import secrets
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer
from rich.console import Console

from appliance.control.secrets import CREDENTIAL_KEYRING, CREDENTIAL_READER, CREDENTIAL_VALKEY
from appliance.errors import EX_DATAERR, EX_NOPERM, OperatorError
from appliance.media.content_keys import Generation, Keyring

if TYPE_CHECKING:
    from collections.abc import Callable

app = typer.Typer(no_args_is_help=True, help="The secrets a host keeps below /etc/appliance/credentials.")

CREDENTIALS_DIRECTORY: Final = Path("/etc/appliance/credentials")

_RANDOM_BYTES: Final = 32
_MASTER = re.compile(r"(?:[0-9a-fA-F]{32}|[0-9a-fA-F]{64})\Z")


@app.callback()
def _group() -> None:
    """The secrets a host keeps below /etc/appliance/credentials."""


@app.command("init")
def init_command(
    directory: Annotated[Path, typer.Option(help="Where the secrets live.")] = CREDENTIALS_DIRECTORY,
    master_stdin: Annotated[
        bool,
        typer.Option(
            "--hls-encryption-key-stdin",
            help="Read HLS_ENCRYPTION_KEY (32 or 64 hex digits; empty: none) from standard input.",
        ),
    ] = False,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Say what is missing, make nothing.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print {changed, made, kept}.")] = False,
) -> None:
    """Make the secrets that are missing; those that exist stay as they are.

    A given HLS_ENCRYPTION_KEY becomes the current master key. One that the keyring does not have yet is
    added as a new generation, so that segments under the old ones stay playable.
    """
    master = _read_master(sys.stdin.read()) if master_stdin else None
    made, kept = init(directory, master, check=check)
    if as_json:
        typer.echo(json.dumps({"changed": bool(made), "made": made, "kept": kept}))
        return
    console = Console(highlight=False)
    for name in made:
        console.print(f"{'missing' if check else 'made'}: {directory / name}", soft_wrap=True)
    for name in kept:
        console.print(f"kept: {directory / name}", soft_wrap=True)


def init(directory: Path, master: bytes | None, *, check: bool = False) -> tuple[list[str], list[str]]:
    """Makes what is missing below `directory` (0700, files 0400); with `check` it only looks.

    Returns the names of what was made (or changed) and of what was kept.
    Raises OperatorError when the directory cannot be written or the keyring cannot be read.
    """
    wanted: dict[str, Callable[[Path], str | None]] = {
        CREDENTIAL_KEYRING: lambda path: _keyring(path, master),
        CREDENTIAL_VALKEY: _random,
        CREDENTIAL_READER: _random,
    }
    made, kept = [], []
    try:
        if not check:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for name, content in wanted.items():
            text = content(directory / name)
            if text is None:
                kept.append(name)
                continue
            if not check:
                _write(directory / name, text)
            made.append(name)
    except PermissionError as error:
        raise OperatorError(
            f"credentials in {directory}: {error.strerror}", exit_code=EX_NOPERM, hint="run it as root"
        ) from None
    return made, kept


def _keyring(path: Path, master: bytes | None) -> str | None:
    """The keyring's new text, None when it may stay."""
    if not path.exists():
        return Keyring.create(master).dumps()
    keyring = Keyring.load(path)
    if master is None or any(item.master == master for item in keyring.generations.values()):
        return None
    number = max(keyring.generations) + 1
    added = Generation(master, datetime.now(UTC))
    return replace(keyring, current=number, generations={**keyring.generations, number: added}).dumps()


def _random(path: Path) -> str | None:
    return None if path.exists() and path.stat().st_size else secrets.token_hex(_RANDOM_BYTES) + "\n"


def _write(path: Path, text: str) -> None:
    """Replaces `path` in one step: a reader sees the old secret or the new one, never half of it."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o400)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise


def _read_master(text: str) -> bytes | None:
    given = text.strip()
    if not given:
        return None
    if _MASTER.match(given) is None:
        # Neither the value nor a part of it is shown.
        raise OperatorError(
            f"HLS_ENCRYPTION_KEY: a text of {len(given)} characters is refused; "
            "allowed are 32 or 64 hexadecimal digits",
            exit_code=EX_DATAERR,
            hint="make one: openssl rand -hex 32",
        )
    return bytes.fromhex(given)
