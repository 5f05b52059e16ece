"""`appliance valkey`: valkey-cli(1) on this host's Valkey, which has no port and wants a password."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from appliance.cli.host import host_settings
from appliance.cli.state_client import require_root
from appliance.errors import EX_UNAVAILABLE, OperatorError
from appliance.secrets.credentials import CREDENTIALS_DIRECTORY, VALKEY_PASSWORD
from appliance.secrets.rotating import read_newest
from appliance.settings import SETTINGS_FILE

_PROGRAM: Final = "valkey-cli"

app = typer.Typer(
    help="Valkey's own commands on this host: valkey-cli with its socket and password.", subcommand_metavar=""
)


@app.callback(invoke_without_command=True, context_settings={"ignore_unknown_options": True})
def valkey_command(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="COMMAND", help="What valkey-cli takes; without it, its prompt."),
    ] = None,
    settings: Annotated[Path, typer.Option(help="Settings file: where Valkey is.")] = SETTINGS_FILE,
    directory: Annotated[Path, typer.Option(help="Where the secrets are.")] = CREDENTIALS_DIRECTORY,
) -> None:
    """Ask this host's Valkey, as root: appliance valkey SLOWLOG GET 10; appliance valkey CLIENT LIST.

    It becomes valkey-cli, and has its exit status. The password goes by the environment, which root alone
    can see, and not by the command line.
    """
    known = host_settings("valkey", settings)
    require_root(directory)
    program = shutil.which(_PROGRAM)
    if program is None:
        raise OperatorError(
            f"there is no {_PROGRAM} here",
            exit_code=EX_UNAVAILABLE,
            hint="apt-get install valkey-tools; valkey-server brings it along",
        )
    environment = {**os.environ, "REDISCLI_AUTH": read_newest(directory, VALKEY_PASSWORD)}
    os.execve(program, [_PROGRAM, "-s", known.valkey_socket, *(words or ())], environment)  # noqa: S606
