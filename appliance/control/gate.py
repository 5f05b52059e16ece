"""Whether somebody may publish a stream: by its key, by its networks, and by what went before.

A registered stream needs one of its keys; a name of the setting `allowed_stream_keys` needs none, as long as
nobody has registered it. Whoever fails too often is not listened to for a while.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from appliance.control.attempts import Attempts
from appliance.control.audit import record, untrusted
from appliance.control.refusal import RefusedError
from appliance.names import APPLICATION, InvalidStreamNameError, parse_stream_name
from appliance.secrets.moment import is_over
from appliance.secrets.stream_keys import StreamKey, matches, parse_key
from appliance.state.valkey import StateUnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from appliance.control.callback import Callback
    from appliance.control.context import Control
    from appliance.names import StreamName
    from appliance.state.registry import KeyRecord, RegisteredStream

_NO_KEY: Final = StreamKey("a" * 8, "a" * 32)
"""Compared where no key was shown or none is kept, so that the answer takes as long."""
_NO_DIGEST: Final = "0" * 64


class Gate:
    """The check before a publisher's lease."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._attempts = Attempts(control.settings.publish_attempts)

    async def pass_through(self, callback: Callback) -> tuple[StreamName, str]:
        """Returns the stream that `callback` may publish, and the id of the key that says so ("" for none).

        Raises RefusedError, always with the same status and text: the answer must not tell which streams
        exist. Raises StateUnavailableError.
        """
        if self._attempts.too_many(callback.addr):
            raise _refused(f"more than {self._attempts.limit} publishes within a minute")
        try:
            stream = _named(callback)
            key_id, kept_out = await self._key_id(stream, callback)
        except RefusedError:
            await self._failed(callback.addr)  # of those who are banned none is counted
            raise
        if kept_out is not None:  # no failure: its key is good, and most encoders come back at once
            raise _refused(f"kept out for a while: {kept_out}")
        return stream, key_id

    async def _failed(self, address: str) -> None:
        try:
            if await self._control.bans.fail(address):
                record("ban", level=logging.WARNING, client_ip=untrusted(address))
        except StateUnavailableError as error:
            # It is refused in any case; only the count is lost.
            record("ban", level=logging.WARNING, client_ip=untrusted(address), reason=str(error))

    async def _key_id(self, stream: StreamName, callback: Callback) -> tuple[str, str | None]:
        """The id of the key that lets `callback` in ("" where none is needed); why nobody may come now."""
        shown = parse_key(callback.arguments.get("key", ""))
        key = shown or _NO_KEY
        # At once: the two are one journey to Valkey (`appliance.state.batch`).
        ban, entry = await asyncio.gather(
            self._control.bans.find(callback.addr), self._control.registry.look(stream, key.id)
        )
        if ban is not None:
            raise _refused(f"{ban.who} is banned for {ban.seconds:.0f} s more")
        registered, kept = entry.stream, entry.key
        fits = matches(self._control.stream_key_pepper, stream, key, kept.digest if kept else _NO_DIGEST)
        if registered is None:
            if stream not in self._control.settings.allowed_stream_keys:
                raise _refused("neither registered nor in allowed_stream_keys")
            return "", None
        if shown is None or kept is None or not fits:
            raise _refused(_why_no_key(callback, shown))
        if (over := why_over(kept, datetime.now(UTC))) is not None:
            raise _refused(f"the key {key.id} {over}")
        if (why := _outside(callback.addr, registered)) is not None:
            raise _refused(why)
        return key.id, entry.kept_out


def _why_no_key(callback: Callback, shown: StreamKey | None) -> str:
    """Why what was shown lets nobody in, in words; a part of a key may be in it, so none of it is said."""
    if shown is not None:
        return f"the key {shown.id} does not fit"
    return (
        "the key that was shown is not of the form ID.SECRET"
        if "key" in callback.arguments
        else "no key was shown"
    )


def _named(callback: Callback) -> StreamName:
    if callback.app != APPLICATION:
        raise _refused(f"application {untrusted(callback.app)}")
    try:
        return parse_stream_name(callback.name)
    except InvalidStreamNameError as error:
        raise _refused(str(error)) from None


def why_over(key: KeyRecord, now: datetime) -> str | None:
    """Returns in words why `key` lets nobody in at `now`; None while it does."""
    if is_revoked(key, now):
        return f"was revoked at {key.revoked_at}"
    if is_over(key.expires_at, now):
        return f"expired at {key.expires_at}"
    return None


def is_revoked(key: KeyRecord, now: datetime) -> bool:
    """Whether `key` was revoked, and the grace it was given is over: its publisher has to go, too."""
    return key.revoked_at is not None and is_over(key.revoked_at, now)


def _outside(address: str, stream: RegisteredStream) -> str | None:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return f"{untrusted(address)} is no address" if stream.allow or stream.deny else None
    if isinstance(ip, ipaddress.IPv6Address) and ip.ipv4_mapped:
        ip = ip.ipv4_mapped
    if _within(ip, stream.deny):
        return f"{ip} is in a denied network"
    if stream.allow and not _within(ip, stream.allow):
        return f"{ip} is in no allowed network"
    return None


def _within(ip: ipaddress.IPv4Address | ipaddress.IPv6Address, networks: Iterable[str]) -> bool:
    return any(ip in ipaddress.ip_network(network) for network in networks)


def _refused(reason: str) -> RefusedError:
    return RefusedError(403, "Invalid stream key", reason)
