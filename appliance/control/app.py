"""The control service as a table of contents: what it answers, and how it begins and ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import Route

from appliance.control import errors
from appliance.control.access_log import AccessLog
from appliance.control.api.routes import api_routes
from appliance.control.audit import record
from appliance.control.dashboard.service import Dashboard
from appliance.control.done import Done
from appliance.control.health import Health
from appliance.control.keys import Keys
from appliance.control.metrics.endpoint import Metrics
from appliance.control.play import Play
from appliance.control.publish import Publish
from appliance.control.reconcile import Reconciler
from appliance.control.streams import Streams
from appliance.control.view.endpoint import View
from appliance.control.view.sync import ViewSync, warn_of_unasked
from appliance.state.whole_log import WholeLog

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from appliance.control.context import Control
    from appliance.control.traffic import TrafficReader


def create_app(control: Control, traffic: TrafficReader | None = None) -> Starlette:
    """The application around `control`, which it closes at its end, and so `traffic`."""
    publish, play, done = Publish(control), Play(control), Done(control)
    streams, keys, health = Streams(control), Keys(control), Health(control)
    metrics, view = Metrics(control), View(control)
    reconciler, view_sync = Reconciler(control), ViewSync(control)
    dashboard = (
        Dashboard(control, lambda: reconciler.troubles.lasting) if control.settings.dashboard else None
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        # Before the first request: what runs already must be known, or a reconnect would wait for its reader.
        # So must be whose session was ended.
        await asyncio.gather(reconciler.attempt(), view_sync.attempt())
        # And secrets that were rotated since systemd read them.
        await control.followed.look()
        loop = asyncio.get_running_loop()
        if traffic is not None:
            traffic.start(loop)
        tasks = [
            asyncio.create_task(control.followed.run(), name="secrets"),
            asyncio.create_task(reconciler.run(), name="reconciler"),
            asyncio.create_task(view_sync.run(), name="view sync"),
            asyncio.create_task(warn_of_unasked(control), name="streams whose viewers nobody asks about"),
            asyncio.create_task(control.dropper.listen(control.leases, control.host), name="dropper"),
            asyncio.create_task(WholeLog(control.state, _tell_of_log).run(), name="Valkey's log"),
        ]
        if control.backend is not None:
            tasks.append(asyncio.create_task(control.backend.deliverer.run(), name="deliverer"))
            tasks.append(asyncio.create_task(control.backend.live_watch.run(), name="live watch"))
        if dashboard is not None:
            tasks.append(dashboard.start())
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            if traffic is not None:
                traffic.close(loop)
            await control.followed.end()
            await control.close()

    return Starlette(
        routes=[
            # delivery asks, about viewers and for keys: most of all requests, so found first, and ASGI itself
            Route("/auth/view", view, methods=["GET"]),
            Route("/keys/{stream}/{kid}", keys, methods=["GET"]),
            # nginx-rtmp asks
            Route("/auth/publish", publish.endpoint, methods=["POST"]),
            Route("/auth/play", play.endpoint, methods=["POST"]),
            Route("/auth/publish_done", done.publish_done, methods=["POST"]),
            Route("/auth/play_done", done.play_done, methods=["POST"]),
            # operators ask
            Route("/streams/active", streams.active),
            Route("/streams/stats", streams.stats),
            Route("/streams/{stream}", streams.detail),
            Route("/stat", control.ingest.endpoint),
            Route("/metrics", metrics.endpoint),
            # operators and the customer's backend administer
            *api_routes(control),
            # operators look and act in a browser
            *(() if dashboard is None else dashboard.routes()),
            # supervisors ask
            Route("/health", health.live),
            Route("/ready", health.ready),
        ],
        middleware=[Middleware(AccessLog, tally=control.requests)],
        exception_handlers=errors.HANDLERS,
        lifespan=lifespan,
    )


def _tell_of_log(what: str) -> None:
    record("valkey-log", level=logging.WARNING, what=what)
