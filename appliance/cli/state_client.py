"""Valkey as a host's own commands ask it: with its password, which only root can read."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from appliance.errors import EX_NOPERM, EX_UNAVAILABLE, OperatorError
from appliance.secrets.credentials import VALKEY_PASSWORD
from appliance.secrets.rotating import read_newest
from appliance.state.valkey import State, StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from appliance.settings import Settings

T = TypeVar("T")


def require_root(directory: Path) -> None:
    """Raises OperatorError (EX_NOPERM) when the secrets in `directory` are not for this user."""
    if directory.exists() and not os.access(directory, os.X_OK):
        raise OperatorError(
            f"user id {os.geteuid()} may not read {directory}",
            exit_code=EX_NOPERM,
            hint="run it as root",
        )


def with_state(known: Settings, directory: Path, use: Callable[[State], Awaitable[T]]) -> T:
    """What `use` returns of this host's Valkey; its password is asked for at each connection.

    Raises OperatorError when Valkey does not answer, or is not for this user.
    """
    require_root(directory)
    # Only to refuse one that is missing: of that, while it connects, valkey-py makes a Valkey that is away.
    read_newest(directory, VALKEY_PASSWORD)
    socket = Path(known.valkey_socket)

    async def run() -> T:
        state = State(socket, lambda: read_newest(directory, VALKEY_PASSWORD), name="appliance-cli")
        try:
            return await use(state)
        finally:
            await state.close()

    try:
        return asyncio.run(run())
    except StateUnavailableError as error:
        raise OperatorError(
            f"Valkey at {socket}: {str(error).removeprefix('Valkey: ')}",
            exit_code=EX_UNAVAILABLE,
            hint="systemctl restart valkey-server ends one that hangs; see why: journalctl -u valkey-server",
        ) from None
