"""One publish lease: what it says, and how it is read from the hash in Valkey that it is."""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.names import InvalidStreamNameError, StreamName, parse_stream_name, shorten
from appliance.state.valkey import PREFIX

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_LOG: Final = logging.getLogger("appliance")
LEASE: Final = f"{PREFIX}lease:"
_LIFE_DIGITS: Final = 15


class _MalformedLeaseError(Exception):
    """What stands in Valkey is no lease of ours; the message says why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """Who publishes a stream.

    host: name of the ingest host; client: nginx's number of the connection (`clientid`), unique until that
    nginx restarts; session: random, unique for ever; started_at: ISO 8601, UTC; key_id: of the stream key
    that let the publisher in, empty where none was needed or nobody knows any more; seen: whether the
    publisher has stood in that host's /stat; idle_seconds: time since the lease was taken or renewed.
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

    def fields(self, life_ms: int) -> dict[str, str]:
        """As it is kept; it lives for `life_ms` when nobody renews it."""
        return {
            "host": self.host,
            "client": self.client,
            "app": self.app,
            "client_ip": self.client_ip,
            "session": self.session,
            "started_at": self.started_at,
            "key_id": self.key_id,
            "seen": "1" if self.seen else "0",
            "life_ms": str(life_ms),
        }


class LeaseReader:
    """Reads leases. One that cannot be read is logged once.

    Parameters
    ----------
    life_ms
        Of a lease that does not say how long it lives.
    prefix
        Of the keys that they are read from, for the log.
    """

    def __init__(self, life_ms: int, prefix: str = LEASE) -> None:
        self._life_ms = life_ms
        self._prefix = prefix
        self._malformed: set[StreamName] = set()

    def mend(self, stream: StreamName) -> str:
        """In words, what to do about one that cannot be read."""
        key = self._prefix + stream
        return f"what stands in {key} cannot be read; DEL {key} in Valkey frees the stream"

    def rows(self, rows: Iterable[tuple[str, int, Sequence[str]]]) -> list[Lease]:
        """Those that can be read of what a script answers: name, remaining life, fields; …"""
        leases = []
        for name, remaining_ms, fields in rows:
            try:
                stream = parse_stream_name(name)
            except InvalidStreamNameError:
                continue  # somebody else wrote into our index; it is not ours to act upon
            lease = self(stream, remaining_ms, fields)
            if lease is not None:
                leases.append(lease)
        return leases

    def __call__(self, stream: StreamName, remaining_ms: int, flat: Sequence[str]) -> Lease | None:
        """What `flat` says (field, value, …); None when that is no lease."""
        try:
            lease = self._parse(stream, remaining_ms, flat)
        except _MalformedLeaseError as error:
            if stream not in self._malformed:  # once, not at every comparison
                self._malformed.add(stream)
                fields = {"stream": stream, "reason": f"{error}; {self.mend(stream)}"}
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
