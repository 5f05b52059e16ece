"""What an operator types to call this command."""

from __future__ import annotations

import os
import sys
from pathlib import Path


def program() -> str:
    """Return how this command is called here: by its name on a host, by its path in a controller's checkout.

    A controller has it only in `.venv/bin`; under sudo(8) the call needs sudo again.
    """
    place = Path(sys.prefix)
    if place.name != ".venv" or not (place.parent / "pyproject.toml").is_file():
        return "appliance"
    sudo = "sudo " if os.geteuid() == 0 and os.environ.get("SUDO_USER") else ""
    return f"{sudo}.venv/bin/appliance"
