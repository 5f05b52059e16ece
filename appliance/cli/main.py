"""Assemble the ``appliance`` command; an area's module is imported only when the area is invoked.

Start-up stays fast that way, and a streaming host, which carries neither Ansible nor the lab's tools, can run
the areas meant for it.
"""

from __future__ import annotations

import importlib
import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from appliance import __version__
from appliance.cli import standard_streams
from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, OperatorError
from appliance.program import program

if TYPE_CHECKING:
    from collections.abc import Sequence

# Area → the line that `appliance --help` shows for it (asking the module would import it).
AREAS = {
    "demo": "One host, one live stream, one command.",
    "lab": "Hosts on this machine to try everything on.",
    "doctor": "What is wrong with this host, and what mends it.",
    "preflight": "The checklist before hosts are opened to the public.",
    "fleet": "The hosts of the inventory, over SSH: look after all at once.",
    "load": "What this host carries, measured and kept for the checklist.",
    "cpu": "What this host's CPU encodes in real time, measured.",
    "gpu": "What this host's GPUs encode in real time, measured.",
    "stream": "One live stream: what stream@ID.service runs.",
    "ladder": "The encoding ladders and their rungs.",
    "control": "The service that decides who may publish and watch.",
    "streams": "What is live, and who may publish.",
    "logs": "What the host's units say of one stream.",
    "bans": "Who may not publish after failing too often.",
    "api-tokens": "Bearer tokens of the API for the platform's own programs.",
    "valkey": "Valkey's own commands on this host.",
    "operators": "Who may use the dashboard.",
    "events": "What the backend is told, and what it would not take.",
    "keys": "The keys of what is streamed: see, change, forget.",
    "viewers": "Who watches, and ending a session.",
    "tokens": "View tokens: issue one, explain one.",
    "secrets": "The secrets of a host: how old they are, and new ones.",
    "credentials": "The secrets a host keeps in /etc/appliance/credentials.",
}


FOR_ROOT = ("demo", "lab")
"""Areas whose files belong to root when root made them: refused to others, they say so."""


def load_area(name: str) -> typer.Typer:
    """Import ``appliance.cli.<name>`` and return its ``app``.

    Raises
    ------
    OperatorError
        The area needs a package that this machine does not have.
    """
    try:
        module = importlib.import_module(f"appliance.cli.{name.replace('-', '_')}")
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] == "appliance":
            raise
        raise OperatorError(
            f"`appliance {name}` needs the Python package {error.name}, which is not installed here",
            exit_code=EX_UNAVAILABLE,
            hint="On a controller, any `make` verb installs it into .venv; a streaming host does without it.",
        ) from error
    app: typer.Typer = module.app
    return app


def build_app(area: str | None) -> typer.Typer:
    """Assemble the command with the real ``area`` and a line of help for each of the others.

    Parameters
    ----------
    area
        The area about to be invoked, ``None`` for none of them (``--help``, a mistyped name).

    Raises
    ------
    OperatorError
        From :func:`load_area`.
    """
    app = typer.Typer(
        help="Bring up streaming hosts and look after what streams on them.",
        no_args_is_help=True,
        pretty_exceptions_show_locals=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.callback()(_options)
    for name, line in AREAS.items():
        module_app = load_area(name) if name == area else _placeholder()
        app.add_typer(module_app, name=name, help=line)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(__version__)
        raise typer.Exit


def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    del version  # the eager callback has acted on it


def _placeholder() -> typer.Typer:
    app = typer.Typer()
    app.callback()(lambda: None)
    return app


def main(argv: Sequence[str] | None = None) -> None:
    """Run the command line and exit; an :class:`OperatorError` becomes its message and its exit status.

    Parameters
    ----------
    argv
        Arguments without the program's name; ``sys.argv[1:]`` when not given.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    area = arguments[0] if arguments and arguments[0] in AREAS else None
    standard_streams.prepare()
    try:
        build_app(area)(args=arguments, prog_name="appliance")
    except OperatorError as error:
        print(f"appliance: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except PermissionError as error:
        if area not in FOR_ROOT or os.geteuid() == 0:
            raise
        print(
            f"appliance: {error.filename}: {error.strerror} for user id {os.geteuid()}\n"
            f"  run it as root: sudo {program()} {shlex.join(arguments)}",
            file=sys.stderr,
        )
        sys.exit(EX_NOPERM)
    finally:
        standard_streams.finish()
