"""Starlette with one route that does nothing, in the control service's own server: ``python -m … PORT``."""

from __future__ import annotations

import socket
import sys

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from appliance.control.server import server_config


async def _nothing(_: Request) -> Response:
    return Response(status_code=204)


if __name__ == "__main__":
    with socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=1024) as listening:
        routes = [Route("/auth/view", _nothing, methods=["GET", "POST"])]
        uvicorn.Server(server_config(Starlette(routes=routes))).run(sockets=[listening])
