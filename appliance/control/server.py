"""uvicorn around the application: on the socket systemd opened, or on a given address.

With socket activation a restart refuses nobody: the kernel queues connections until the next process takes
them. One process with one event loop is enough; it decides, it carries no media.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import socket
from typing import TYPE_CHECKING, Final

import uvicorn

from appliance import journal, sdnotify
from appliance.control.app import create_app
from appliance.control.context import Control
from appliance.control.protocol import BoundedProtocol
from appliance.control.traffic import TrafficReader
from appliance.errors import EX_OSERR, OperatorError

if TYPE_CHECKING:
    from pathlib import Path

    from starlette.types import ASGIApp

    from appliance.control.secrets import Secrets
    from appliance.settings import Settings

_BACKLOG: Final = 1024
_SHUTDOWN_SECONDS: Final = 5
_DRAIN_SECONDS: Final = 0.1


class _Server(uvicorn.Server):
    """Tells systemd when the service is ready, alive and ending; sets `closing` when it begins to end."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.should_exit:
            return
        # What is there now stays to the end. Looked through again and again by the collector, it held up
        # whoever asked at that moment.
        gc.collect()
        gc.freeze()
        sdnotify.notify("READY=1")
        if (seconds := sdnotify.watchdog_seconds()) is not None:
            self._alive = asyncio.create_task(_keep_alive(seconds / 3), name="watchdog")

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        sdnotify.notify("STOPPING=1")
        self._closing.set()
        # No new connection; those taken a moment ago get the time to bring their question. Closed with
        # it unread they would be reset, and nginx-rtmp does not ask again.
        for server in self.servers:
            server.close()
        await asyncio.sleep(_DRAIN_SECONDS)
        await super().shutdown(sockets)


async def _keep_alive(seconds: float) -> None:
    while True:
        sdnotify.notify("WATCHDOG=1")
        await asyncio.sleep(seconds)


def serve(
    settings: Settings, secrets: Secrets, *, address: tuple[str, int], traffic: Path | None = None
) -> None:
    """Serves until SIGTERM or SIGINT.

    Parameters
    ----------
    settings, secrets
        Of this host.
    address
        Host and port to listen on when systemd hands over no socket.
    traffic
        Path of the datagram socket for delivery's lines when systemd hands over none; None: nobody sends any.

    Raises OperatorError when an address is taken or the keyring unreadable.
    """
    journal.configure()
    control = Control.build(settings, secrets)
    handed_over = _handed_over(address)
    listening = handed_over.get(socket.SOCK_STREAM) or _opened(address)
    lines = handed_over.get(socket.SOCK_DGRAM) or _opened_for_lines(traffic)
    reader = None if lines is None else TrafficReader(control.traffic, lines)
    with listening, contextlib.suppress(KeyboardInterrupt):
        _Server(server_config(create_app(control, reader)), control.closing).run(sockets=[listening])


def server_config(app: ASGIApp) -> uvicorn.Config:
    """How `app` is served."""
    return uvicorn.Config(
        app,
        http=BoundedProtocol,
        ws="none",
        log_config=None,  # journal.configure() has the root logger
        access_log=False,  # ours leaves the arguments out
        server_header=False,
        proxy_headers=False,  # nobody in front of us may say who somebody is
        timeout_graceful_shutdown=_SHUTDOWN_SECONDS,
    )


def _handed_over(address: tuple[str, int]) -> dict[socket.SocketKind, socket.socket]:
    try:
        return sdnotify.handed_over()
    except (OSError, ValueError) as error:
        raise _cannot_listen(f"{address[0]}:{address[1]}", error) from error


def _opened(address: tuple[str, int]) -> socket.socket:
    try:
        return socket.create_server(address, backlog=_BACKLOG, reuse_port=False)
    except OSError as error:
        hint = f"see who does: ss -ltnp 'sport = :{address[1]}'"
        raise _cannot_listen(f"{address[0]}:{address[1]}", error, hint) from error


def _opened_for_lines(path: Path | None) -> socket.socket | None:
    if path is None:
        return None
    lines = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        path.unlink(missing_ok=True)  # of a process before this one
        lines.bind(str(path))
    except OSError as error:
        lines.close()
        raise _cannot_listen(str(path), error) from error
    return lines


def _cannot_listen(where: str, error: Exception, hint: str | None = None) -> OperatorError:
    text = f"control service: cannot listen on {where}: {error}"
    return OperatorError(text, exit_code=EX_OSERR, hint=hint)
