"""Publish leases: one publisher for each stream name, on all hosts together.

A lease is a hash in Valkey that expires by itself. Its holder is one connection of one host, named by a
random session: only that session renews or releases it, so a message that arrives late ("done" of the
connection before) changes nothing. Every change is one Lua script and therefore atomic.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name, shorten
from appliance.state.events import EVENTS
from appliance.state.taken import Taken
from appliance.state.valkey import PREFIX, Script, State

if TYPE_CHECKING:
    from collections.abc import Sequence

    from appliance.state.events import Event

_LOG: Final = logging.getLogger("appliance")
_LEASE: Final = f"{PREFIX}lease:"
_INDEX: Final = f"{PREFIX}leases"
_LIFE_DIGITS: Final = 15


class _MalformedLeaseError(Exception):
    """What stands in Valkey is no lease of ours; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who publishes a stream.

    host: name of the ingest host; client: nginx's number of the connection (`clientid`), unique until that
    nginx restarts; session: random, unique for ever; started_at: ISO 8601, UTC; key_id: of the stream key
    that let the publisher in, empty where none was needed; seen: whether the publisher has stood in that
    host's /stat; idle_seconds: time since the lease was taken or renewed.
    """

    stream: StreamName
    host: str
    client: str
    app: str
    client_ip: str
    session: str
    started_at: str
    key_id: str = ""
    seen: bool = False
    idle_seconds: float = 0.0

    @classmethod
    def new(
        cls, stream: StreamName, *, host: str, client: str, app: str, client_ip: str, key_id: str = ""
    ) -> Lease:
        """A lease that nobody holds yet, starting now."""
        return cls(
            stream=stream,
            host=host,
            client=client,
            app=app,
            client_ip=client_ip,
            session=secrets.token_hex(16),
            started_at=datetime.now(UTC).isoformat(timespec="milliseconds"),
            key_id=key_id,
        )


class Leases:
    """The leases of all hosts.

    Parameters
    ----------
    state
        The connection to Valkey.
    life_seconds
        How long a lease lives when nobody renews it.

    Every method raises StateUnavailableError. A lease that cannot be read (another program wrote it) is
    logged once and left alone: it is listed nowhere, and its stream stays taken until it ends or is removed.
    """

    def __init__(self, state: State, life_seconds: float) -> None:
        self._life_ms = round(life_seconds * 1000)
        self._acquire = Script(state, "acquire")
        self._hold = Script(state, "hold")
        self._release = Script(state, "release")
        self._get = Script(state, "read")
        self._list = Script(state, "list")
        self._malformed: set[StreamName] = set()
        self.taken = Taken()

    async def acquire(
        self, lease: Lease, *, replacing: Lease | None = None, told: Event | None = None
    ) -> Lease | None:
        """Takes `lease` if its stream is free, or held by exactly `replacing` (compare and set).

        When that one is replaced, `told` is stored in the same step.
        Returns None when it was taken, else the lease that stands in the way.
        """
        fields = {
            "host": lease.host,
            "client": lease.client,
            "app": lease.app,
            "client_ip": lease.client_ip,
            "session": lease.session,
            "started_at": lease.started_at,
            "key_id": lease.key_id,
            "seen": "1" if lease.seen else "0",
            "life_ms": str(self._life_ms),
        }
        replaced = replacing.session if replacing else ""
        arguments = [replaced, str(self._life_ms), lease.stream, str(2 * len(fields))]
        for name, value in fields.items():
            arguments += [name, value]
        arguments += told.arguments() if told else []
        answer = await self._acquire([_LEASE + lease.stream, _INDEX, EVENTS], arguments)
        if answer[0] == 1:
            self.taken.put(lease)
            return None
        # One that cannot be read is somebody's all the same; no host has this name, so nobody takes it over.
        nobody = replace(
            lease,
            host=f"an unknown host ({_mend(lease.stream)})",
            client="",
            app="",
            client_ip="",
            session="",
            started_at="",
        )
        return self._read(lease.stream, answer[1], answer[2]) or nobody

    async def hold(self, lease: Lease) -> bool:
        """Renews `lease` and marks it as seen in /stat; False when its session no longer holds it."""
        answer = await self._hold(
            [_LEASE + lease.stream, _INDEX], [lease.session, str(self._life_ms), lease.stream]
        )
        if answer:
            self.taken.put(lease, seen=True)
        return bool(answer)

    async def release(self, lease: Lease, *, told: Event | None = None) -> bool:
        """Gives `lease` back; False when its session no longer holds it.

        `told` is stored in the same step.
        """
        arguments = [lease.session, lease.stream, *(told.arguments() if told else [])]
        answer = await self._release([_LEASE + lease.stream, _INDEX, EVENTS], arguments)
        if answer:
            self.taken.forget(lease)
        return bool(answer)

    async def get(self, stream: StreamName) -> Lease | None:
        """The lease of `stream`, None when it is free."""
        answer = await self._get([_LEASE + stream], [])
        return self._read(stream, answer[0], answer[1]) if answer else None

    async def all(self) -> list[Lease]:
        """Every lease that lives, ordered by the time it ends."""
        leases = []
        for name, remaining_ms, fields in await self._list([_INDEX], [_LEASE]):
            try:
                stream = parse_stream_name(name)
            except InvalidStreamNameError:
                continue  # somebody else wrote into our index; it is not ours to act upon
            lease = self._read(stream, remaining_ms, fields)
            if lease is not None:
                leases.append(lease)
        return leases

    def _read(self, stream: StreamName, remaining_ms: int, flat: Sequence[str]) -> Lease | None:
        try:
            lease = self._parse(stream, remaining_ms, flat)
        except _MalformedLeaseError as error:
            if stream not in self._malformed:  # once, not at every comparison
                self._malformed.add(stream)
                fields = {"stream": stream, "reason": f"{error}; {_mend(stream)}"}
                _LOG.warning("malformed lease", extra={"fields": fields})
            return None
        self._malformed.discard(stream)
        return lease

    def _parse(self, stream: StreamName, remaining_ms: int, flat: Sequence[str]) -> Lease:
        if len(flat) % 2:
            what = f"a {shorten(flat[0])}, not a hash" if len(flat) == 1 else "a field without a value"
            raise _MalformedLeaseError(f"it is {what}")
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        for name, value in fields.items():
            if "\N{REPLACEMENT CHARACTER}" in value:
                raise _MalformedLeaseError(f"{shorten(name)} is not UTF-8 text")
        # Its own life, not ours: another host, or this one before its settings changed, may have taken it.
        life = fields.get("life_ms", str(self._life_ms))
        if not (life.isascii() and life.isdigit() and len(life) <= _LIFE_DIGITS):
            raise _MalformedLeaseError(f"life_ms is {shorten(life)}, not a number of milliseconds")
        return Lease(
            stream=stream,
            host=fields.get("host", ""),
            client=fields.get("client", ""),
            app=fields.get("app", ""),
            client_ip=fields.get("client_ip", ""),
            session=fields.get("session", ""),
            started_at=fields.get("started_at", ""),
            key_id=fields.get("key_id", ""),
            seen=fields.get("seen") == "1",
            idle_seconds=max(0.0, (int(life) - remaining_ms) / 1000),
        )


def _mend(stream: StreamName) -> str:
    return f"what stands in {_LEASE}{stream} cannot be read; DEL {_LEASE}{stream} in Valkey frees the stream"
