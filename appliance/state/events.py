"""Events for the backend: a Valkey stream, so that they outlive every process of ours.

An event is added in the same step as the change that it tells of, where there is one. It is read through the
consumer group `backend` and pending there until it was delivered or has become a dead letter. Order matters
for each of our streams, so one control service delivers for all hosts: the leader, a name in Valkey that
expires. Delivered events stay to be looked at, until the bound pushes them out; should the bound push out one
that was not delivered yet (MAX_EVENTS came while the backend was away), it is lost, and logged as lost.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from valkey.exceptions import ResponseError

from appliance.state.valkey import COMMAND_SECONDS, PREFIX, Script, State, translated

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

EVENTS: Final = f"{PREFIX}events"
DEAD: Final = f"{PREFIX}events:dead"
LEADER: Final = f"{PREFIX}events:leader"
GROUP: Final = "backend"

MAX_EVENTS: Final = 20_000
"""Bound of events and of dead letters each (about; Valkey drops whole nodes): some 10 MB."""

_BATCH: Final = 100
_BLOCK_MS: Final = round(COMMAND_SECONDS * 300)
"""How long a read waits for an event: well within what a command may take, also on a busy machine."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event: `body` is what is sent, `identity` its webhook-id, the same at every attempt and replay."""

    identity: str
    type: str
    stream: str
    body: str

    @classmethod
    def new(cls, kind: str, stream: str, data: Mapping[str, Any]) -> Event:
        """The event `kind` of `stream`, now: JSON as Standard Webhooks has it, {type, timestamp, data}.

        An empty `stream` is for what concerns none of them in particular.
        """
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        whose = {"stream": stream} if stream else {}
        body = json.dumps({"type": kind, "timestamp": now, "data": {**whose, **data}})
        return cls(f"evt_{secrets.token_hex(16)}", kind, stream, body)

    def arguments(self) -> list[str]:
        """For a script that adds it: the stream's bound, then fields and values."""
        fields = {"id": self.identity, "type": self.type, "stream": self.stream, "body": self.body}
        return [str(MAX_EVENTS), *(text for pair in fields.items() for text in pair)]


@dataclass(frozen=True, slots=True)
class Entry:
    """An event as it stands in Valkey under `position`; `attempt` counts from 1.

    `reason` is a dead letter's: why the last attempt failed.
    """

    position: str
    event: Event
    attempt: int = 1
    reason: str = ""

    @classmethod
    def read(cls, position: str, fields: Mapping[str, str]) -> Entry:
        """What stands there; fields that are missing are empty."""
        names = ("id", "type", "stream", "body")
        attempts = fields.get("attempts", "")
        return cls(
            position,
            Event(*(fields.get(name, "") for name in names)),
            int(attempts) if attempts.isascii() and attempts.isdigit() and len(attempts) < 9 else 1,
            fields.get("reason", ""),
        )


@dataclass(frozen=True, slots=True)
class Depth:
    """How many events wait: `new` were read by nobody yet, `pending` not settled; `dead` are given up."""

    new: int
    pending: int
    dead: int


class Events:
    """The events of all hosts. Every method raises StateUnavailableError."""

    def __init__(self, state: State) -> None:
        self._client = state.client
        self._lead = Script(state, "lead")
        self._resign = Script(state, "resign")
        self._replay = Script(state, "replay")

    async def add(self, event: Event) -> None:
        """Stores `event`, after which it will be delivered."""
        with translated():
            await self._client.xadd(EVENTS, _fields(event), maxlen=MAX_EVENTS, approximate=True)

    async def lead(self, name: str, life_ms: int) -> bool:
        """Whether `name` delivers the events for the next `life_ms`; it does when nobody else is."""
        return bool(await self._lead([LEADER], [name, str(life_ms)]))

    async def resign(self, name: str) -> None:
        """`name` delivers no more."""
        await self._resign([LEADER], [name])

    async def left_over(self, name: str) -> tuple[list[Entry], int]:
        """Takes over what was read and not settled, whoever read it, in order; and how many of it are lost.

        For the leader alone: nobody else can be at work on them.
        """
        with translated():
            await self._make_group()
            found: list[tuple[str, dict[str, str]]] = []
            lost = 0
            start = "0-0"
            while True:
                start, entries, gone = await self._client.xautoclaim(
                    EVENTS, GROUP, name, min_idle_time=0, start_id=start, count=_BATCH
                )
                found += entries
                lost += len(gone)
                if start == "0-0":
                    break
            rows = await self._client.xpending_range(EVENTS, GROUP, "-", "+", max(1, len(found)))
        attempts = {row["message_id"]: int(row["times_delivered"]) for row in rows}
        # Taking it over counts as an attempt: an event that kills whoever delivers it must end somewhere.
        return [replace(Entry.read(*item), attempt=attempts.get(item[0], 1)) for item in found], lost

    async def read(self, name: str) -> list[Entry]:
        """Events that nobody has read yet, in order; waits a moment for one."""
        with translated():
            answer = await self._client.xreadgroup(GROUP, name, {EVENTS: ">"}, count=_BATCH, block=_BLOCK_MS)
        return [Entry.read(*item) for _, items in answer or [] for item in items]

    async def settle(self, entry: Entry) -> None:
        """`entry` was delivered."""
        with translated():
            await self._client.xack(EVENTS, GROUP, entry.position)

    async def note_attempt(self, name: str, entry: Entry, attempt: int) -> None:
        """The next attempt at `entry` will be its `attempt`-th, also for whoever makes it after a restart."""
        with translated():
            await self._client.xclaim(
                EVENTS,
                GROUP,
                name,
                min_idle_time=0,
                message_ids=[entry.position],
                retrycount=attempt,
                justid=True,
            )

    async def bury(self, entry: Entry, *, attempts: int, reason: str) -> None:
        """Makes `entry` a dead letter, in one step."""
        fields = {**_fields(entry.event), "attempts": str(attempts), "reason": reason}
        with translated():
            async with self._client.pipeline(transaction=True) as pipe:
                pipe.xadd(DEAD, fields, maxlen=MAX_EVENTS, approximate=True)
                pipe.xack(EVENTS, GROUP, entry.position)
                await pipe.execute()

    async def dead(self) -> list[Entry]:
        """The dead letters, the oldest first."""
        with translated():
            return [Entry.read(*item) for item in await self._client.xrange(DEAD)]

    async def depth(self) -> Depth:
        """How many events wait at present."""
        with translated():
            dead, total = await self._client.xlen(DEAD), await self._client.xlen(EVENTS)
            group = await self._group()
        if group is None:
            return Depth(total, 0, dead)
        # Valkey cannot tell what follows where an event was deleted; then all that there is may be new.
        lag = group.get("lag")
        return Depth(int(total if lag is None else lag), int(group["pending"]), dead)

    async def replay(self, entry: Entry) -> bool:
        """Puts the dead letter `entry` behind the newest event; False when it is gone already."""
        return bool(await self._replay([EVENTS, DEAD], [entry.position, *entry.event.arguments()]))

    async def newest(self, count: int) -> list[tuple[Entry, str]]:
        """The newest `count` events, the oldest of them first, each with its state in a word or two."""
        with translated():
            rows = await self._client.xrevrange(EVENTS, count=count)
            read_to = await self._read_to()
            pending, dead = {}, set[str]()
            if rows and read_to:
                found = await self._client.xpending_range(EVENTS, GROUP, rows[-1][0], rows[0][0], count)
                pending = {row["message_id"]: int(row["times_delivered"]) for row in found}
                # Nothing is a dead letter before it was an event.
                letters = await self._client.xrange(DEAD, min=rows[-1][0])
                dead = {fields.get("id", "") for _, fields in letters}
        told, later = list[tuple[Entry, str]](), set[str]()
        for entry in (Entry.read(*item) for item in rows):
            told.append((entry, _state(entry, read_to, pending, dead, later)))
            later.add(entry.event.identity)
        return told[::-1]

    async def after(self, position: str) -> list[Entry]:
        """Events behind `position`, in order; waits a moment for one."""
        with translated():
            answer = await self._client.xread({EVENTS: position}, count=_BATCH, block=_BLOCK_MS)
        return [Entry.read(*item) for _, items in answer or [] for item in items]

    async def _make_group(self) -> None:
        try:
            await self._client.xgroup_create(EVENTS, GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if not str(error).startswith("BUSYGROUP"):
                raise

    async def _read_to(self) -> str | None:
        """Up to which position events were read, None when nobody ever did."""
        group = await self._group()
        return None if group is None else str(group["last-delivered-id"])

    async def _group(self) -> dict[str, Any] | None:
        """What Valkey knows of the group, None when nobody ever read."""
        try:
            groups = await self._client.xinfo_groups(EVENTS)
        except ResponseError:  # no such key
            return None
        return next((row for row in groups if row["name"] == GROUP), None)


def _fields(event: Event) -> dict[Any, Any]:
    arguments = event.arguments()[1:]
    return dict(zip(arguments[::2], arguments[1::2], strict=True))


def _state(
    entry: Entry,
    read_to: str | None,
    pending: Mapping[str, int],
    dead: Collection[str],
    later: Collection[str],
) -> str:
    """`dead`: the ids of the dead letters; `later`: of the events behind this one."""
    if entry.position in pending:
        return f"attempt {pending[entry.position]}"
    if read_to is None or _order(entry.position) > _order(read_to):
        return "new"
    if entry.event.identity in later:  # it was a dead letter
        return "replayed"
    return "dead" if entry.event.identity in dead else "delivered"


def _order(position: str) -> tuple[int, ...]:
    return tuple(int(part) for part in position.split("-"))
