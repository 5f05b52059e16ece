"""`appliance control`: run the control service, or check its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from appliance.errors import EX_USAGE, OperatorError
from appliance.output import page, print_block
from appliance.settings import SETTINGS_FILE, Settings, describe

app = typer.Typer(no_args_is_help=True, help="The service that decides who may publish and watch.")


@app.command("serve")
def serve_command(
    settings: Annotated[Path, typer.Option(help="Settings file.")] = SETTINGS_FILE,
    listen: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen when systemd hands over no socket.")
    ] = "127.0.0.1:8000",
    traffic: Annotated[
        Path | None, typer.Option(help="Socket for delivery's lines when systemd hands over none.")
    ] = None,
) -> None:
    """Serve until stopped. Secrets come from $CREDENTIALS_DIRECTORY."""
    from appliance.control.secrets import Secrets
    from appliance.control.server import serve

    serve(Settings.load(settings), Secrets.load(), address=_address(listen), traffic=traffic)


@app.command("check-config")
def check_config(
    file: Annotated[Path, typer.Argument(help="Settings file.")] = SETTINGS_FILE,
) -> None:
    """Check a settings file and print what holds; exit status 78 and the reason when it is refused.

    /dev/null is an empty one: every setting with its default, its meaning and what is allowed.
    """
    settings = Settings.load(file)
    out = page()
    out.print(f"{file}: good", soft_wrap=True)
    for name, default, allowed, meaning in describe():
        value = _as_yaml(getattr(settings, name))
        out.print(Text(f"{name}: {value}", style="bold"))
        print_block(out, (("default", _as_yaml(default)), ("allowed", allowed), ("meaning", meaning)))


def _as_yaml(value: object) -> str:
    """Return a setting's value as it is written in the file; a text without its quotes."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(value)}]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _address(text: str) -> tuple[str, int]:
    host, separator, port = text.rpartition(":")
    if not separator or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise OperatorError(
            f"--listen: {text!r} is refused; allowed is HOST:PORT, such as 127.0.0.1:8000", exit_code=EX_USAGE
        )
    return host.strip("[]"), int(port)
