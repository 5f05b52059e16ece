"""Why a file of secrets cannot be used, and what mends it; never what stands in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from appliance.errors import EX_CONFIG, OperatorError

if TYPE_CHECKING:
    from pathlib import Path


def missing(path: Path, reason: str, *, what: str = "credential") -> OperatorError:
    """There is nothing in `path` that could be read; `what` names the file."""
    return OperatorError(
        f"{what} {path}: {reason}", exit_code=EX_CONFIG, hint="make it: appliance credentials init"
    )


def malformed(path: Path, reason: str, *, what: str = "credential") -> OperatorError:
    """What stands in `path` is none; `appliance credentials init` lets no such file be replaced unseen."""
    return OperatorError(
        f"{what} {path}: {reason}",
        exit_code=EX_CONFIG,
        hint="put a copy of it back, or remove it and run: appliance credentials init",
    )
