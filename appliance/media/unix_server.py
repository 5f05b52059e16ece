"""A stream's process listening at a unix socket of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable
    from pathlib import Path


@contextlib.asynccontextmanager
async def unix_server(
    path: Path,
    mode: int,
    handler: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    *,
    limit: int,
) -> AsyncIterator[None]:
    """Listens until the block is left; connections that are open then stay the caller's.

    Parameters
    ----------
    path
        Of the socket. What lies there, as of a process that was killed, is replaced.
    mode
        Of the socket, from its beginning: who may write to it may connect (unix(7)).
    handler
        Takes each connection, as a task.
    limit
        Bytes that a connection's reader holds.

    Raises OSError when the socket cannot be made.
    """
    _unlink(path)
    before = os.umask(0o777 & ~mode)
    try:
        server = await asyncio.start_unix_server(handler, path, limit=limit)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        _unlink(path)


def _unlink(path: Path) -> None:
    # on a tmpfs, and so nothing that the event loop would wait for
    path.unlink(missing_ok=True)
