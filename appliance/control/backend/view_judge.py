"""Whether the backend lets a viewer watch, asked once for all that the viewer's player asks for.

The backend judges what delivery was told of a viewer: the token it showed, its address, its player, the page
it is on. A yes holds for a session, for some seconds; a no for a moment.
"""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal
from weakref import WeakValueDictionary

from appliance.address import subject
from appliance.control.audit import record
from appliance.control.backend.decisions import Question
from appliance.control.first_seen import FirstSeen
from appliance.control.refusal import RefusedError
from appliance.control.single_flight import SingleFlight
from appliance.control.view.tokens import TokenRefusedError
from appliance.digest import digest
from appliance.names import APPLICATION
from appliance.settings_together import QUESTION_SECONDS

if TYPE_CHECKING:
    from collections.abc import Callable

    from appliance.control.backend.decisions import Decisions, Verdict
    from appliance.control.backend.grant import Grant
    from appliance.control.view.viewer import Asked, Viewer

_REFUSALS: Final[dict[int, Literal[401, 402, 403]]] = {401: 401, 402: 402}
_NO_SECONDS: Final = 2.0
"""How long a no holds: who has paid is let in soon."""

_SILENT_SECONDS: Final = 1.0
"""How long the backend is not asked again about a session when it was silent."""

_REPEATED_SECONDS: Final = 5.0
"""How long a last-known yes holds until the backend is tried again."""

_AT_ONCE: Final = 16
"""Questions on their way. A crowd waits here for its turn, not in the pool of connections: there its waiting
would count for silence of the backend, and publishers would wait behind it."""

_AT_ONCE_OF_ONE: Final = 4
"""Of these, for one address or IPv6 network: who makes up tokens holds up those behind the same, and nobody
else."""

_MOST: Final = 20_000
"""Answers that are remembered; beyond it the oldest is forgotten."""


@dataclass(frozen=True, slots=True)
class _Held:
    verdict: Verdict
    until: float


class ViewJudge:
    """Asks the backend about viewers. Used from one event loop only.

    Parameters
    ----------
    decisions
        Where questions are put.
    hold_seconds
        How long a yes holds.
    clock
        Monotonic seconds.
    """

    def __init__(
        self, decisions: Decisions, hold_seconds: float, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._decisions = decisions
        self._hold_seconds = hold_seconds
        self._clock = clock
        self._held: dict[tuple[str, ...], _Held] = {}
        self._flights = SingleFlight[_Held]()
        self._said = FirstSeen(seconds=60, capacity=1000)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._lanes: WeakValueDictionary[str, asyncio.Semaphore] = WeakValueDictionary()

    async def judge(self, asked: Asked, viewer: Viewer, entitlement: str | None) -> Grant:
        """What the backend allows `viewer`.

        Raises TokenRefusedError (401, 402, 403) when it does not, or no longer, RefusedError (503) when it is
        silent.
        """
        what = (viewer.id, asked.referrer, entitlement or "")
        held = self._held.get(what)
        if held is None or held.until <= self._clock():
            held = await self._flights(what, lambda: self._ask(what, asked, viewer, entitlement))
        verdict = held.verdict
        if verdict.status == 503:
            raise RefusedError(503, verdict.text, verdict.reason)
        if not verdict.allowed:
            raise TokenRefusedError(_REFUSALS.get(verdict.status, 403), verdict.reason)
        if verdict.grant.expires is not None and verdict.grant.expires <= time.time():
            raise TokenRefusedError(402, "what the backend allowed is over")
        return verdict.grant

    async def _ask(
        self, what: tuple[str, ...], asked: Asked, viewer: Viewer, entitlement: str | None
    ) -> _Held:
        fields = {
            "call": "play",
            "app": APPLICATION,
            "name": asked.stream,
            "addr": asked.address,
            "protocol": "hls",
            "session": viewer.id,
            "token": asked.token,
            "user_agent": asked.user_agent,
            "referrer": asked.referrer,
            **({} if entitlement is None else {"entitlement": entitlement}),
        }
        deadline = self._clock() + QUESTION_SECONDS
        who = subject(asked.address) or asked.address
        lane = self._lanes.get(who)
        if lane is None:
            lane = self._lanes[who] = asyncio.Semaphore(_AT_ONCE_OF_ONE)
        async with lane, self._turns:
            # Repeated, too, it holds for the same page and entitlement alone.
            question = Question("view", asked.stream, fields, digest("\0".join(what)))
            verdict = await self._decisions.put(question, seconds=deadline - self._clock())
        if verdict.source == "last-known" and self._said(asked.stream):
            record("view", level=logging.WARNING, stream=asked.stream, reason=verdict.reason)
        held = _Held(verdict, self._clock() + self._seconds(verdict))
        self._held.pop(what, None)
        self._held[what] = held
        if len(self._held) > _MOST:
            del self._held[next(iter(self._held))]
        return held

    def _seconds(self, verdict: Verdict) -> float:
        """How long `verdict` holds: no longer than what was allowed, as it may have been paid for anew."""
        if verdict.source == "silent":
            return _SILENT_SECONDS
        if not verdict.allowed:
            return _NO_SECONDS
        longest = _REPEATED_SECONDS if verdict.source == "last-known" else self._hold_seconds
        if verdict.grant.expires is None:
            return longest
        return max(_SILENT_SECONDS, min(longest, verdict.grant.expires - time.time()))
