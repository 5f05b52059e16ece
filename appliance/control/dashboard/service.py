"""The dashboard as a table of contents: what is answered below `/dashboard/`, and what runs for it."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from starlette.responses import JSONResponse
from starlette.routing import Route

from appliance.control.dashboard.actions import Actions
from appliance.control.dashboard.guard import Guard
from appliance.control.dashboard.history import history
from appliance.control.dashboard.live import Live
from appliance.control.dashboard.recent import Recent
from appliance.control.dashboard.sampler import Sampler
from appliance.control.dashboard.signing_in import SigningIn
from appliance.control.responses import NO_STORE
from appliance.state.host_reports import HostReports
from appliance.state.operator_sessions import OperatorSessions

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.control.context import Control
    from appliance.state.operator_sessions import Session


class Dashboard:
    """All of it; `troubles` says what is wrong on this host at present."""

    def __init__(self, control: Control, troubles: Callable[[], Sequence[str]]) -> None:
        settings = control.settings
        sessions = OperatorSessions(
            control.state,
            idle_seconds=settings.dashboard_idle_seconds,
            most_seconds=settings.dashboard_session_seconds,
        )
        self._recent = Recent(control.host)
        self._sampler = Sampler(control, self._recent, troubles)
        self._reports = HostReports(control.state)
        self._guard, self._signing_in = Guard(sessions), SigningIn(control, sessions)
        self._actions, self._live = Actions(control), Live(control, sessions)

    def routes(self) -> list[Route]:
        """What is answered."""
        guard, signing_in, actions = self._guard, self._signing_in, self._actions
        stream = "/dashboard/streams/{stream}"
        return [
            Route("/dashboard/session", signing_in.sign_in, methods=["POST"]),
            Route("/dashboard/session", guard.done("sign out", signing_in.sign_out), methods=["DELETE"]),
            Route("/dashboard/session", signing_in.who, methods=["GET"]),
            Route("/dashboard/live", guard.seen(self._live.stream), methods=["GET"]),
            Route("/dashboard/history", guard.seen(self._history), methods=["GET"]),
            Route(f"{stream}/thumbnail.jpg", guard.seen(actions.thumbnail), methods=["GET"]),
            Route(f"{stream}/keys", guard.seen(actions.keys, used=True), methods=["GET"]),
            Route(f"{stream}/publisher", guard.done("drop publisher", actions.drop), methods=["DELETE"]),
            Route(
                f"{stream}/content-key", guard.done("rotate content key", actions.rotate), methods=["POST"]
            ),
            Route(f"{stream}/keys/{{key}}", guard.done("revoke key", actions.revoke), methods=["DELETE"]),
        ]

    def start(self) -> asyncio.Task[None]:
        """Has it listen to the audit log and tell of this host, until the task is cancelled."""
        return asyncio.create_task(self._run(), name="dashboard sampler")

    async def _run(self) -> None:
        log = logging.getLogger("appliance")
        log.addHandler(self._recent)
        try:
            await self._sampler.run()
        finally:
            log.removeHandler(self._recent)

    async def _history(self, _: Request, __: Session) -> Response:
        samples = await self._reports.samples()
        # In a thread, as it takes some ten milliseconds.
        return await asyncio.to_thread(lambda: JSONResponse(history(samples.values()), headers=NO_STORE))
