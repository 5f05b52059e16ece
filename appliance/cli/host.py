"""Commands that are for a streaming host say so on any other machine."""

from __future__ import annotations

import json
import shlex
import socket
import sys
from pathlib import Path

from appliance.errors import EX_CONFIG, OperatorError
from appliance.settings import SETTINGS_FILE, Settings


def host_settings(command: str, file: Path = SETTINGS_FILE) -> Settings:
    """Returns the settings of this host, for `command`.

    Raises OperatorError as `require_host` and `Settings.load` do.
    """
    require_host(command, file)
    return Settings.load(file)


def viewers_url(known: Settings) -> str:
    """Where viewers reach this host; by the kernel's name over plain HTTP where the settings do not say."""
    return known.delivery_url or f"http://{known.node or socket.gethostname()}:{known.delivery_port}"


def require_host(command: str, file: Path = SETTINGS_FILE) -> None:
    """Raises OperatorError when the machine is no streaming host, with the command that asks one."""
    if file == SETTINGS_FILE and not file.exists():
        raise OperatorError(
            f"this machine is no streaming host, it has no {file}",
            exit_code=EX_CONFIG,
            hint=f"run: {demo_prefix(Path(sys.prefix).parent / '.demo.json')} appliance {_as_given(command)}",
        )


def _as_given(command: str) -> str:
    """`command` with the options that were given: without --check it would do something else."""
    words = sys.argv[1:]
    return shlex.join(words) if words[:1] == command.split()[:1] else command


def demo_prefix(facts: Path) -> str:
    """Return what runs a command on a host: the demo's SSH command when there is one."""
    try:
        return str(json.loads(facts.read_text())["ssh"])
    except (OSError, ValueError, KeyError, TypeError):
        return "ssh root@HOST"
