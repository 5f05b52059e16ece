"""Load on an HTTP server, made by a process of its own; it prints what it saw as JSON.

``python -m tests.bench.http_load < PLAN``: the plan is a JSON object with the fields of :class:`Plan`. Closed
loop: every connection asks again as soon as it has its answer, which shows how much the server can do. Open
loop (`rate`): a request is due at fixed moments whether or not those before are answered, and its latency
counts from the moment it was due, which shows what callers wait for.
"""

from __future__ import annotations

import asyncio
import collections
import json
import sys
import time
from dataclasses import dataclass, field
from typing import Any, cast

import uvloop


@dataclass(frozen=True, slots=True)
class Plan:
    """What to ask, how often.

    `lanes` are lists of requests (each the text of a whole HTTP request); a lane is asked in its order, one
    request after the other, and again from the start. `rate`: lanes begun in a second, 0 for a closed loop.
    `connections`: how many at most, at once. `lasts`: seconds, at most; `rounds`: how often each lane is
    asked, 0 for as often as there is time. `measured`: how many requests of a lane are measured, from the
    first.
    """

    port: int
    lanes: list[list[str]]
    connections: int
    lasts: float
    rate: float = 0.0
    rounds: int = 0
    measured: int = 1


@dataclass
class Seen:
    """What was answered: seconds from first to last, statuses, latencies of the measured requests in ms."""

    seconds: float = 0.0
    statuses: collections.Counter[int] = field(default_factory=collections.Counter)
    latencies_ms: list[float] = field(default_factory=list)


class Connection(asyncio.Protocol):
    """One kept connection that asks one thing at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._received = b""
        self._answer: asyncio.Future[int] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """It is there."""
        # uvloop's transports are of no class of asyncio's
        self._transport = cast("asyncio.WriteTransport", transport)

    def connection_lost(self, _: Exception | None) -> None:
        """It is gone: an open question has failed."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError("the server hung up"))

    def data_received(self, data: bytes) -> None:
        """Takes bytes until the answer is whole."""
        self._received += data
        head, separator, body = self._received.partition(b"\r\n\r\n")
        if not separator:
            return
        at = head.lower().find(b"content-length:")
        length = 0 if at < 0 else int(head[at + 15 :].split(b"\r\n", 1)[0])
        if len(body) >= length and self._answer is not None:
            self._received = b""
            self._answer.set_result(int(head[9:12]))

    def ask(self, request: bytes) -> asyncio.Future[int]:
        """Sends `request`; the future is the answer's status."""
        assert self._transport is not None
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return self._answer

    def close(self) -> None:
        """Leaves."""
        if self._transport is not None:
            self._transport.close()


class Load:
    """Carries out a plan."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._lanes = [[request.encode() for request in lane] for lane in plan.lanes]
        self._seen = Seen()

    async def run(self) -> Seen:
        """Asks until the time is over, or everything was asked."""
        loop = asyncio.get_running_loop()
        made = [
            await loop.create_connection(Connection, "127.0.0.1", self._plan.port)
            for _ in range(self._plan.connections)
        ]
        connections = [protocol for _, protocol in made]
        began = time.perf_counter()
        await (self._open(connections) if self._plan.rate else self._closed(connections))
        self._seen.seconds = time.perf_counter() - began
        for connection in connections:
            connection.close()
        return self._seen

    async def _lane(self, connection: Connection, lane: list[bytes], due: float) -> None:
        for number, request in enumerate(lane):
            status = await connection.ask(request)
            self._seen.statuses[status] += 1
            if number < self._plan.measured:
                self._seen.latencies_ms.append((time.perf_counter() - due) * 1000)
            due = time.perf_counter()

    async def _closed(self, connections: list[Connection]) -> None:
        until = time.perf_counter() + self._plan.lasts
        share = len(connections)

        async def keep_asking(at: int, connection: Connection) -> None:
            rounds = 0
            while not self._plan.rounds or rounds < self._plan.rounds:
                for lane in self._lanes[at::share]:
                    if time.perf_counter() >= until:
                        return
                    await self._lane(connection, lane, time.perf_counter())
                rounds += 1

        await asyncio.gather(*(keep_asking(*each) for each in enumerate(connections)))

    async def _open(self, connections: list[Connection]) -> None:
        free: asyncio.LifoQueue[Connection] = asyncio.LifoQueue()
        for connection in connections:
            free.put_nowait(connection)
        began = time.perf_counter()
        running: set[asyncio.Task[None]] = set()

        async def one(lane: list[bytes], due: float) -> None:
            connection = await free.get()
            await self._lane(connection, lane, due)
            free.put_nowait(connection)

        for number in range(int(self._plan.rate * self._plan.lasts)):
            due = began + number / self._plan.rate
            if (ahead := due - time.perf_counter()) > 0:
                await asyncio.sleep(ahead)
            # Our own timer wakes up to a millisecond late, which is not the server's doing.
            moment = max(due, time.perf_counter()) if free.qsize() else due
            task = asyncio.create_task(one(self._lanes[number % len(self._lanes)], moment))
            running.add(task)
            task.add_done_callback(running.discard)
        await asyncio.gather(*running)


def main() -> None:
    """Reads the plan and prints what was seen."""
    seen = uvloop.run(Load(Plan(**json.load(sys.stdin))).run())
    found: dict[str, Any] = {
        "seconds": seen.seconds,
        "statuses": seen.statuses,
        "latencies_ms": sorted(seen.latencies_ms),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
