"""Telling the backend: every event at least once, in order for each stream.

One control service of all hosts leads (see `appliance.state.events`). For each stream that has something to
be told one task tells it, event by event: a stream whose event fails waits, the others go on. An event is
settled after a 2xx and not before; what was read and not settled is taken over by the next leader, so the end
of a process loses nothing and may repeat something. After its last attempt an event becomes a dead letter,
and its stream goes on with the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
from collections import deque
from typing import TYPE_CHECKING, Final

from appliance.control.audit import record, untrusted
from appliance.control.backend.client import BackendSilentError
from appliance.control.troubles import Troubles
from appliance.state.events import MAX_EVENTS
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from appliance.control.backend.client import BackendClient
    from appliance.settings import Settings
    from appliance.state.events import Entry, Events

PATH: Final = "/events"
_LEADER_MS: Final = 10_000
"""How long a leader that died stands in the way of one on another host; on its own host it does not."""

_LONGEST_PAUSE: Final = 60.0
_AT_ONCE: Final = 8
_WAIT_SECONDS: Final = 1.0


class Deliverer:
    """The task of one control service.

    Parameters
    ----------
    host
        This host's name: what it leads under.
    """

    def __init__(self, events: Events, client: BackendClient, settings: Settings, host: str) -> None:
        self._events = events
        self._client = client
        self._settings = settings
        self._host = host
        self._waiting: dict[str, deque[Entry]] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._slots = asyncio.Semaphore(_AT_ONCE)
        self._leading = False
        self._stale = False
        self._troubles = Troubles("deliver")

    async def run(self) -> None:
        """Delivers for ever; cancelled, it leaves what is not settled to whoever leads next."""
        try:
            while True:
                await self._round()
        finally:
            await self._drop()
            with contextlib.suppress(StateUnavailableError):
                await self._events.resign(self._host)

    async def _round(self) -> None:
        try:
            if not await self._events.lead(self._host, _LEADER_MS):
                self._troubles(None)
                await self._drop()
                await asyncio.sleep(_WAIT_SECONDS)
                return
            if not self._leading:
                await self._take_over()
            for entry in await self._events.read(self._host):
                self._queue(entry)
            await self._forget()
        except StateUnavailableError as error:
            await self._begin_anew(str(error))
        # Broad on purpose: nobody awaits this task before the service ends, so what it let through would end
        # the deliveries for good, and silently.
        except Exception as error:  # noqa: BLE001
            await self._begin_anew(type(error).__name__)
        else:
            if self._stale:
                await self._begin_anew("an event could not be settled")
            else:
                self._troubles(None)

    async def _take_over(self) -> None:
        entries, lost = await self._events.left_over(self._host)
        self._leading = True
        _log_lost(lost)
        for entry in entries:
            self._queue(entry)

    async def _forget(self) -> None:
        """Holds no more events than Valkey keeps: of the stream that has most of them the oldest are lost."""
        lost = 0
        while sum(map(len, self._waiting.values())) > MAX_EVENTS:
            most = max(self._waiting.values(), key=len)
            if len(most) < 2:
                break
            entry = most[1]  # the first is being told
            del most[1]
            lost += 1
            await self._events.settle(entry)
        _log_lost(lost)

    async def _begin_anew(self, reason: str) -> None:
        """Forgets what it has in hand: Valkey still has it, and perhaps another leader does too."""
        self._troubles(reason)
        await self._drop()
        await asyncio.sleep(_WAIT_SECONDS)

    async def _drop(self) -> None:
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._tasks.clear()
        self._waiting.clear()
        self._leading = self._stale = False

    def _queue(self, entry: Entry) -> None:
        stream = entry.event.stream
        self._waiting.setdefault(stream, deque()).append(entry)
        if stream not in self._tasks:
            self._tasks[stream] = asyncio.create_task(self._tell_all(stream), name=f"events of {stream}")

    async def _tell_all(self, stream: str) -> None:
        waiting = self._waiting[stream]
        try:
            while waiting:
                await self._tell(waiting[0])
                waiting.popleft()
        except Exception as error:  # noqa: BLE001 - whatever it is, Valkey still has the event; see _round
            self._stale = True
            if not isinstance(error, StateUnavailableError):
                record("deliver", level=logging.ERROR, stream=untrusted(stream), reason=type(error).__name__)
            return
        del self._waiting[stream], self._tasks[stream]

    async def _tell(self, entry: Entry) -> None:
        attempt = entry.attempt
        reason = "every attempt ended with the process that made it"
        while attempt <= self._settings.event_attempts:
            trouble = await self._attempt(entry)
            if trouble is None:
                await self._events.settle(entry)
                self._log(entry, "delivered", attempt)
                return
            reason = trouble
            self._log(entry, "failed", attempt, reason, level=logging.WARNING)
            attempt += 1
            await self._events.note_attempt(self._host, entry, attempt)
            if attempt <= self._settings.event_attempts:
                await asyncio.sleep(self._pause(attempt))
        await self._events.bury(entry, attempts=attempt - 1, reason=reason)
        self._log(entry, "given up", attempt - 1, reason, level=logging.ERROR)

    async def _attempt(self, entry: Entry) -> str | None:
        """None when the backend has taken the event, else why not."""
        async with self._slots:
            try:
                status = await self._client.post(
                    PATH,
                    entry.event.body.encode(),
                    content_type="application/json",
                    identity=entry.event.identity,
                    seconds=self._settings.callback_seconds,
                )
            except BackendSilentError as error:
                return str(error)
        return None if 200 <= status < 300 else f"the backend answered {status}"

    def _pause(self, attempt: int) -> float:
        """Seconds before the `attempt`-th attempt: twice as many each time, and not all streams at once."""
        first = self._settings.event_retry_seconds
        pause: float = min(_LONGEST_PAUSE, first * 2.0 ** min(attempt - 2, 20))
        return pause * random.uniform(0.5, 1.0)  # noqa: S311 - spreads load

    def _log(
        self, entry: Entry, action: str, attempt: int, reason: str = "", *, level: int = logging.INFO
    ) -> None:
        event = entry.event
        fields = {
            "stream": untrusted(event.stream),
            "type": untrusted(event.type),
            "id": untrusted(event.identity),
        }
        if reason:
            fields["reason"] = reason
        record("deliver", level=level, action=action, attempt=attempt, **fields)


def _log_lost(count: int) -> None:
    if count:
        reason = "too many came while the backend was silent"
        record("deliver", level=logging.ERROR, action="lost", count=count, reason=reason)
