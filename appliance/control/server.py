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
from appliance.errors import EX_OSERR, OperatorError

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from appliance.control.secrets import Secrets
    from appliance.settings import Settings

_BACKLOG: Final = 1024
_SHUTDOWN_SECONDS: Final = 5
_DRAIN_SECONDS: Final = 0.1


class _Server(uvicorn.Server):
    """Tells systemd when the service is ready, alive and ending."""

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


def serve(settings: Settings, secrets: Secrets, *, address: tuple[str, int]) -> None:
    """Serves until SIGTERM or SIGINT.

    Parameters
    ----------
    settings, secrets
        Of this host.
    address
        Host and port to listen on when systemd hands over no socket.

    Raises OperatorError when the address is taken or the keyring unreadable.
    """
    journal.configure()
    config = server_config(create_app(Control.build(settings, secrets)))
    with _listening(address) as listening, contextlib.suppress(KeyboardInterrupt):
        _Server(config).run(sockets=[listening])


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


def _listening(address: tuple[str, int]) -> socket.socket:
    try:
        handed_over = sdnotify.listening_socket()
        if handed_over is not None:
            return handed_over
        return socket.create_server(address, backlog=_BACKLOG, reuse_port=False)
    except (OSError, ValueError) as error:
        raise OperatorError(
            f"control service: cannot listen on {address[0]}:{address[1]}: {error}",
            exit_code=EX_OSERR,
            hint=f"see who does: ss -ltnp 'sport = :{address[1]}'",
        ) from error
