"""`appliance control`: run the control service, or check its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich import print as show
from rich.markup import escape
from rich.table import Column, Table

from appliance.errors import EX_USAGE, OperatorError
from appliance.settings import SETTINGS_FILE, Settings, describe

app = typer.Typer(no_args_is_help=True, help="The service that decides who may publish and watch.")


@app.command("serve")
def serve_command(
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen when systemd hands over no socket.")
    ] = "127.0.0.1:8000",
) -> None:
    """Serve until stopped. Secrets come from $CREDENTIALS_DIRECTORY."""
    from appliance.control.secrets import Secrets
    from appliance.control.server import serve

    serve(Settings.load(settings), Secrets.load(), address=_address(listen))


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="Settings file.")] = SETTINGS_FILE,
) -> None:
    """Check a settings file and print what holds; exit status 78 and the reason when it is refused."""
    settings = Settings.load(file)
    show(f"{file}: good")
    table = Table("setting", Column("value", overflow="fold"), Column("allowed", overflow="fold"), box=None)
    for name, _, allowed, _ in describe():
        table.add_row(name, escape(str(getattr(settings, name))), escape(allowed))
    show(table)


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise OperatorError(
            f"--listen: {text!r} is refused; allowed is HOST:PORT, such as 127.0.0.1:8000", exit_code=EX_USAGE
        )
    return host.strip("[]"), int(port)
