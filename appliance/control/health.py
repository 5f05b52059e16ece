"""`GET /health`: the process lives. `GET /ready`: it can do its work, part by part."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from starlette.responses import JSONResponse

from appliance.control.backend.breaker import State as BreakerState
from appliance.control.responses import NO_STORE, ok
from appliance.control.stat import StatUnavailableError
from appliance.control.units import UnitsUnavailableError
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Awaitable

    from starlette.requests import Request
    from starlette.responses import Response

    from appliance.control.context import Control


class Health:
    """The endpoints for supervisors and balancers."""

    def __init__(self, control: Control) -> None:
        self._control = control

    async def live(self, _: Request) -> Response:
        """200 while the event loop turns. It asks nobody: a dead neighbour is no reason to restart us."""
        return ok({"status": "healthy"})

    async def ready(self, _: Request) -> Response:
        """200 when every part answers, else 503; the body names each part and what ails it."""
        control = self._control
        state, units, ingest = await asyncio.gather(
            _check(control.state.ping()),
            _check(control.units.ping()),
            _check(control.ingest.status()),
        )
        parts = {"state": state, "units": units, "ingest": ingest}
        if control.backend is not None:
            breaker = control.backend.decisions.state
            parts["backend"] = {"ok": breaker is not BreakerState.OPEN, "breaker": breaker.value}
        good = all(part["ok"] for part in parts.values())
        return JSONResponse(
            {"status": "ready" if good else "degraded", "parts": parts},
            status_code=200 if good else 503,
            headers=NO_STORE,
        )


async def _check(question: Awaitable[object]) -> dict[str, Any]:
    try:
        await question
    except (StateUnavailableError, UnitsUnavailableError, StatUnavailableError) as error:
        return {"ok": False, "detail": str(error)}
    return {"ok": True}
